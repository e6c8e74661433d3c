//! The hot store.
