//! Fuzz targets of `linegate-diameter`; see README.md.

pub mod targets;
