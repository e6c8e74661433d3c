//! Linegate.
fn main() {}
