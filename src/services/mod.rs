//! Use cases: load through ports, call the domain, save. No rules in here.

pub mod activation;
pub mod charging;
pub mod device_states;
pub mod devices;
pub mod drain;
pub mod explain;
pub mod fieldwork;
pub mod imports;
pub mod month;
pub mod ordering;
pub mod outbox;
pub mod rerating;
pub mod saga_store;
pub mod scheduling;
pub mod suspense;
pub mod tariffs;
pub mod thresholds;
pub mod timeline;
pub mod tokens;
pub mod usage_events;
pub mod usage_tmf;
