//! Reads the files that the policy commands are given. It judges nothing.

use std::io::Read;
use std::path::Path;

use pointsman::policy::Policy;

use crate::failure::Failure;
use crate::yaml::Document;

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

/// The policy document in the file at `path`: JSON, or YAML where the file's name ends in `.yaml` or `.yml`.
pub fn read_document(path: &Path) -> Result<Document, Failure> {
    document_of(path, read_text(path)?)
}

/// The policy document with this text, which came from `path`.
pub fn document_of(path: &Path, text: String) -> Result<Document, Failure> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    if !matches!(extension, Some("yaml" | "yml")) {
        return Ok(Document::of_json(text));
    }
    Document::of_yaml(&text).map_err(|(line, column, problem)| {
        Failure::Input(format!("{}:{line}:{column}: {problem}", path.display()))
    })
}

/// The policy in the file at `path`, for commands that only use it: its first problem is the error.
pub fn read_policy(path: &Path) -> Result<Policy, Failure> {
    let document = read_document(path)?;
    compile_document(path, &document)
}

/// The policy with this JSON text, which came from `path`.
pub fn compile(path: &Path, text: &str) -> Result<Policy, Failure> {
    compile_document(path, &Document::of_json(text.to_owned()))
}

fn compile_document(path: &Path, document: &Document) -> Result<Policy, Failure> {
    Policy::compile(&document.json).map_err(|invalid| {
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
    })
}
