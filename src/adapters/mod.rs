//! The ports' implementations. No rules in here: an adapter never decides a
//! price, a grant or a status.

pub mod pdf;
pub mod system;
pub mod tariff_file;
