//! Reads the files that the policy commands are given. It judges nothing.

use std::io::Read;
use std::path::Path;

use pointsman::policy::Policy;

use crate::failure::Failure;

/// The bytes of the file at `path`, or of standard input where it is `-`.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let done = if path == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes).map(|_| ())
    } else {
        std::fs::read(path).map(|read| bytes = read)
    };
    done.map_err(|error| Failure::Input(format!("cannot read `{}`: {error}", path.display())))?;
    Ok(bytes)
}

/// The text of the file at `path`.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read(path)?)
        .map_err(|_| Failure::Input(format!("`{}` is not UTF-8", path.display())))
}

/// The policy in the file at `path`, for commands that only use it: its first problem is the error.
pub fn read_policy(path: &Path) -> Result<Policy, Failure> {
    compile(path, &read_text(path)?)
}

/// The policy with this text, which came from `path`.
pub fn compile(path: &Path, text: &str) -> Result<Policy, Failure> {
    Policy::compile(text).map_err(|invalid| {
        let first = invalid
            .problems
            .first()
            .map(|problem| format!("{}:{}: {problem}", problem.line, problem.column))
            .unwrap_or_default();
        let more = invalid.problems.len().saturating_sub(1);
        let more = match more {
            0 => String::new(),
            _ => format!(" (and {more} more: run `pointsman check`)"),
        };
        Failure::Input(format!("{}:{first}{more}", path.display()))
    })
}
