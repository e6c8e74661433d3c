# Builds the gateway without the demo and its simulators.
FROM rust:1.94-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --no-default-features --bin linegate

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/linegate --create-home linegate
COPY --from=build /src/target/release/linegate /usr/local/bin/linegate
COPY config/ /etc/linegate/
USER linegate
WORKDIR /var/lib/linegate
ENV LINEGATE__DATA__FOLDER=/var/lib/linegate/data
VOLUME /var/lib/linegate/data
# Listeners bind 127.0.0.1 until peers, devices and tokens are configured:
# run with --network host, or give a settings file that names them.
EXPOSE 3868 1883 8088
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD curl --fail --silent http://127.0.0.1:8088/healthz || exit 1
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/linegate"]
CMD ["serve"]
