//! Rating as tables.
