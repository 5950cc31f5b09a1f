//! Why a measurement could not be made.

use std::fmt;

/// The text is one line, lower case, without a full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A file or an argument is wrong.
    Input(String),
    /// The input is right, but the measurement is not possible on it.
    Failed(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Input(text) | Error::Failed(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}
