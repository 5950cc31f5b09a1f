//! Reads the files that the policy commands are given, and writes what they make. It judges nothing.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use pointsman::policy::Policy;

use crate::failure::Failure;
use crate::io::document::Document;

/// The bytes of the file at `path`, or of standard input if it is `-`.
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

/// Opens a file of rows, unpacked where its name ends in `.gz`.
pub fn open(path: &Path) -> Result<Box<dyn BufRead>, Failure> {
    let file = File::open(path)
        .map_err(|error| Failure::Input(format!("`{}`: {error}", path.display())))?;
    let reader: Box<dyn Read> = if path.extension().is_some_and(|end| end == "gz") {
        Box::new(flate2::read::MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    Ok(Box::new(BufReader::new(reader)))
}

/// The text of the file at `path`.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read(path)?)
        .map_err(|_| Failure::Input(format!("`{}` is not UTF-8", path.display())))
}

/// The policy document in the file at `path`, JSON or YAML; see [`Document::read`].
pub fn read_document(path: &Path) -> Result<Document, Failure> {
    let text = read_text(path)?;
    Document::read(path, text).map_err(|(line, column, problem)| {
        Failure::Input(format!("{}:{line}:{column}: {problem}", path.display()))
    })
}

/// The policy in the file at `path`, for commands that only use it: its first problem is the error.
pub fn read_policy(path: &Path) -> Result<Policy, Failure> {
    read_policy_document(path).map(|(policy, _)| policy)
}

/// The policy in the file at `path`, and how it is written.
pub fn read_policy_document(path: &Path) -> Result<(Policy, Document), Failure> {
    let document = read_document(path)?;
    let policy = Policy::compile(&document.json).map_err(|invalid| {
        let first = invalid
            .problems
            .first()
            .map(|problem| {
                let (line, column) = document.place(problem.line, problem.column);
                format!("{line}:{column}: {problem}")
            })
            .unwrap_or_default();
        let more = invalid.problems.len().saturating_sub(1);
        let more = match more {
            0 => String::new(),
            _ => format!(" (and {more} more: run `pointsman check`)"),
        };
        Failure::Input(format!("{}:{first}{more}", path.display()))
    })?;
    Ok((policy, document))
}

/// Writes `text` to the file at `path`, or to standard output without one.
pub fn write(path: Option<&Path>, text: &str) -> Result<(), Failure> {
    match path {
        Some(path) => std::fs::write(path, text)
            .map_err(|error| Failure::Input(format!("cannot write `{}`: {error}", path.display()))),
        None => {
            print!("{text}");
            Ok(())
        }
    }
}
