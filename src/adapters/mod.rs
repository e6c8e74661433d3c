//! The ports' implementations. No rules in here: an adapter never decides a
//! price, a grant or a status.

mod breaker;
pub mod broker;
mod columns;
pub mod file_journal;
pub mod fjall;
pub mod memory;
pub mod memory_hot;
pub mod pdf;
pub mod postgres;
pub mod redis;
mod save_queue;
pub mod scheduler;
pub mod sms;
pub mod smtp;
pub mod sqlite;
pub mod system;
pub mod tariff_file;
mod usage_rows;
pub mod webhook;
