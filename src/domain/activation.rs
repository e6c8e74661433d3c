//! Activation.
