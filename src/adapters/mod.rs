//! The ports' implementations. No rules in here: an adapter never decides a
//! price, a grant or a status.

pub mod memory;
pub mod sms;
pub mod smtp;
pub mod system;
pub mod webhook;
