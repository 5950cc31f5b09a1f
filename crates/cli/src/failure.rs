//! How a subcommand fails: one line of text and the exit status that goes with it. It prints nothing.

use std::fmt;
use std::process::ExitCode;

/// Why a subcommand did not do what was asked. The text is one line, lower case, without a full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The command ran but failed, or the goal is not met: exit status 1.
    Failed(String),
    /// The arguments, or a file that they name, are wrong: exit status 2.
    Input(String),
}

impl Failure {
    /// The process's exit status.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Failed(_) => ExitCode::from(1),
            Failure::Input(_) => ExitCode::from(2),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A library's error may span lines; the promise is one.
            Failure::Failed(text) | Failure::Input(text) => f.write_str(&text.replace('\n', " ")),
        }
    }
}

impl std::error::Error for Failure {}

impl From<pointsman_eval::error::Error> for Failure {
    fn from(error: pointsman_eval::error::Error) -> Failure {
        match error {
            pointsman_eval::error::Error::Input(text) => Failure::Input(text),
            pointsman_eval::error::Error::Failed(text) => Failure::Failed(text),
        }
    }
}
