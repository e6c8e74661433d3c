//! Charging accounts.
