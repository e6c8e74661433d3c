//! Simulated network elements for tests, over real sockets. Their codec is
//! ours, so they judge behaviour and not bytes.

use std::net::SocketAddr;
use std::time::Duration;

use linegate_simulators::element::{Element, ElementConfig, ElementHandle, Role};
use tokio::runtime::Runtime;

/// A runtime with what runs on it.
pub struct Network {
    pub runtime: Runtime,
    pub hss: ElementHandle,
}

impl Network {
    /// Ends the elements.
    pub fn shutdown(self) {
        self.hss.shutdown();
        self.runtime.shutdown_background();
    }
}

impl Network {
    /// One more element on the same runtime, connected.
    pub fn add(&self, host: &str, roles: &[Role], gateway: SocketAddr) -> ElementHandle {
        let element = self.runtime.block_on(async { Element::start(ElementConfig::new(host, roles, gateway)) });
        assert!(self.runtime.block_on(element.connected_within(Duration::from_secs(20))), "{host} connects");
        element
    }
}

/// An HSS front end that connects to the gateway and keeps coming back.
pub fn hss(gateway: SocketAddr) -> Network {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let hss =
        runtime.block_on(async { Element::start(ElementConfig::new("hss-1.linegate.example", &[Role::Hss], gateway)) });
    Network { runtime, hss }
}
