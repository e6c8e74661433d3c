//! Linegate: the gateway between the systems that sell telecom lines and the
//! network that carries them. `docs/ARCHITECTURE.md` is the map.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod adapters;
pub mod api;
pub mod app;
pub mod command;
pub mod config;
#[cfg(feature = "demo")]
pub mod demo;
pub mod domain;
pub mod ports;
pub mod saga;
pub mod services;
pub mod telemetry;
pub mod transport;
