//! Rating: what a usage record does to a charging account.
//!
//! Owns the judgement of a record (duplicate, foreign APN, inactive line,
//! reconciled, rated), the exact split at an allowance, and grants of quota.
//! Knows no protocol: Diameter, MQTT and files are translated into
//! [`request::ChargeRequest`] by whoever received them. Does **not** own
//! accounts' storage or how requests reach them.

pub mod request;
