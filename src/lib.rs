//! Linegate.
