//! A scripted element, for interop and fault work: a text says what is sent,
//! what is expected and what goes wrong. The language is described in
//! `docs/element-scripts.md`; worked scripts lie in `simulators/scripts`.
//!
//! Stands on the sockets themselves and not on [`crate::peer`], because a
//! script may misbehave where a peer never would: no CER, half a message, a
//! wrong version, lying lengths, two answers, none.

mod avps;
mod build;
mod expect;
mod lexer;
mod link;
mod matching;
mod parse;
mod run;
mod syntax;
mod value;
mod variables;

pub use run::RunSettings;
pub use syntax::Script;

/// Why a script did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// It cannot be read.
    #[error("{file}:{line}: {reason}")]
    Syntax {
        /// The script's file.
        file: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A statement failed: an expectation does not hold, a connection broke.
    #[error("{file}:{line}: {reason}")]
    Failed {
        /// The script's file.
        file: String,
        /// Counted from 1.
        line: usize,
        /// What was expected, and what came.
        reason: String,
    },
}
