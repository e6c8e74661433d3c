//! Charging end to end on real stores.
