//! The ports' implementations. No rules in here: an adapter never decides a
//! price, a grant or a status.

pub mod fjall;
pub mod memory_hot;
pub mod system;
