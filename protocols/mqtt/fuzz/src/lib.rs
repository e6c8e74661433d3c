//! Fuzz targets of `linegate-mqtt`; see README.md.
#![allow(clippy::disallowed_methods, reason = "machines are stepped from some instant")]

pub mod targets;
