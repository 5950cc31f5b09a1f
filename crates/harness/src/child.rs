//! A subcommand that serves, as a child; dropping it ends it.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// A running child that ends when its standard input does.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    /// The line by which it announces where it listens.
    pub announced: Value,
}

impl Child {
    /// Runs `program` with these words in a folder, and waits until it listens.
    ///
    /// # Errors
    /// If it cannot be started, or announces nothing.
    pub fn start<S: AsRef<OsStr>>(
        program: &Path,
        folder: &Path,
        words: &[S],
    ) -> Result<Child, String> {
        let failed = |error: String| format!("{}: {error}", program.display());
        let mut process = Command::new(program)
            .args(words)
            .arg("--until-stdin-ends")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let mut line = String::new();
        let announced = process
            .stdout
            .take()
            .ok_or_else(|| "has no output".to_owned())
            .and_then(|stdout| {
                let read = BufReader::new(stdout).read_line(&mut line);
                read.map_err(|error| error.to_string())
            })
            .and_then(|_| serde_json::from_str(&line).map_err(|error| error.to_string()));
        let mut child = Child {
            process,
            announced: Value::Null,
        };
        child.announced = announced.map_err(failed)?;
        Ok(child)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
