//! Sagas: named steps, each with an action and an undo, that end well or say why not.
//!
//! Knows no business words: a saga is a list of step names with JSON inputs,
//! and whoever registers steps gives the names a meaning. Owns the record, the
//! log, and the engine that runs, parks, resumes and undoes.

pub mod record;
