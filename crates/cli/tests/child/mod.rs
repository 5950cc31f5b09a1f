//! A subcommand that serves, as a child; dropping it ends it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

pub struct Child {
    process: std::process::Child,
    /// The line by which it says where it listens.
    pub said: Value,
}

impl Child {
    /// Runs `pointsman` with these words in a folder, and waits until it listens.
    pub fn start<S: AsRef<std::ffi::OsStr>>(folder: &Path, words: &[S]) -> Child {
        let mut process = Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .args(words)
            .arg("--until-stdin-ends")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let said = serde_json::from_str(&line).unwrap();
        Child { process, said }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
