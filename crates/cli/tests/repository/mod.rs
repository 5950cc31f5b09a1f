//! The repository's own files as tests of them read them, and what the command line says of them.

#![allow(dead_code)] // each test takes what it needs

use std::path::Path;
use std::process::{Command, Output};

use pointsman_harness::files::{self, read};

/// Runs the command line in a folder.
pub fn pointsman(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .args(words)
        .current_dir(folder)
        .output()
        .unwrap()
}

/// The output of a successful run at the root.
pub fn printed(words: &[&str]) -> String {
    let output = pointsman(&files::root(), words);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// The arguments by which the head of a rendered file says that it was written.
pub fn written_by(path: &str) -> String {
    let text = read(path);
    let mut lines = text.lines();
    let command = lines.find_map(|line| line.strip_prefix("#   pointsman "));
    command
        .unwrap_or_else(|| panic!("{path} names no command"))
        .to_owned()
}

/// A rendered file holds what that command writes.
pub fn assert_rendered(path: &str) {
    let command = written_by(path);
    let words: Vec<&str> = command.split(' ').collect();
    assert!(
        read(path) == printed(&words),
        "run `pointsman {command} > {path}`"
    );
}
