//! Tests that need more than one module: contract suites, crash points, real
//! servers. One binary, so that it links once.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, dead_code)]

mod api;
mod bad_input;
mod books;
mod broker;
mod cellular;
mod charging;
mod command;
mod contract_hot;
mod contract_relational;
mod delivery;
mod devices;
mod diameter_node;
mod drain;
mod erlang;
mod events;
mod freediameter;
mod hostile_modems;
mod imports;
mod judge;
mod kill;
mod messages;
mod mobility;
mod modems;
mod month_close;
mod mosquitto;
mod network;
mod outbox;
mod power_loss;
mod proxy;
mod raw_peer;
mod redis_cluster;
mod redis_hot;
mod redis_outage;
mod rerating;
mod sagas;
mod scripts;
mod simulation;
mod support;
mod tariffs;
mod tidy;
mod tshark;
mod two_gateways;
mod usage;
mod usage_events;
mod visits;
