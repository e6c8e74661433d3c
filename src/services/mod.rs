//! Use cases: load through ports, call the domain, save. No rules in here.

pub mod charging;
pub mod drain;
