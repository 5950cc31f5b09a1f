//! The documents agree with `pointsman` and `pointsman-lab`: the references are generated from the arguments' definitions, and
//! both programs accept every command that a document shows.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command, CommandFactory as _};

/// A program, its reference and the head of that.
struct Program {
    command: Command,
    reference: &'static str,
    head: &'static str,
}

/// Both programs.
fn programs() -> [Program; 2] {
    let operator = Program {
        command: pointsman_cli::command::Cli::command(),
        reference: "docs/command-line.md",
        head: "# The command line\n\n\
         Generated from the definitions of the arguments; a test keeps it so. `--help` behind each says the same. `make cli` builds\n\
         `target/release/pointsman`. Exit status: 0 it did what was asked; 1 it ran, but failed or what was asked is not met; 2 bad usage or input.\n",
    };
    let lab = Program {
        command: super::Cli::command(),
        reference: "docs/lab.md",
        head: "# The lab: `pointsman-lab`\n\n\
         The program that this repository runs: `make demo`, `make bench`, `make soak`, `make oci`, the training. No operator needs it.\n\
         Generated from the definitions of the arguments; a test keeps it so. `make lab` builds `target/release/pointsman-lab`.\n",
    };
    [operator, lab].map(|mut program| {
        program.command.build();
        program
    })
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap().to_owned()
}

/// Every document that people read, by its path from the root.
fn documents() -> Vec<(String, String)> {
    let mut paths: Vec<PathBuf> = [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
    ]
    .map(|name| root().join(name))
    .into();
    for folder in ["docs", "envoy", "models"] {
        let mut folders = vec![root().join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.extension() {
                    _ if path.is_dir() => folders.push(path),
                    Some(extension) if extension == "md" => paths.push(path),
                    _ => {}
                }
            }
        }
    }
    let read = |path: PathBuf| {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        (name, fs::read_to_string(path).unwrap())
    };
    paths.into_iter().map(read).collect()
}

fn reference(program: &Program) -> String {
    let mut out = String::from(program.head);
    for command in program.command.get_subcommands() {
        if command.is_hide_set() || command.get_name() == "help" {
            continue;
        }
        section(&mut out, command.get_name(), command);
        for below in command.get_subcommands() {
            if below.get_name() != "help" {
                let name = format!("{} {}", command.get_name(), below.get_name());
                section(&mut out, &name, below);
            }
        }
    }
    out
}

fn section(out: &mut String, name: &str, command: &Command) {
    let about = command.get_about().unwrap();
    write!(out, "\n## {name}\n\n{about}.\n").unwrap();
    let shown = |argument: &&Arg| !argument.is_hide_set() && argument.get_id() != "help";
    let rows: String = command.get_arguments().filter(shown).map(row).collect();
    if !rows.is_empty() {
        out.push_str("\n| argument | meaning | without it |\n|---|---|---|\n");
        out.push_str(&rows);
    }
}

fn row(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    let takes_value = argument.get_action().takes_values();
    let value = names.first().map(ToString::to_string).unwrap_or_default();
    let mut name = match argument.get_long() {
        Some(long) if takes_value => format!("--{long} {value}"),
        Some(long) => format!("--{long}"),
        None => value,
    };
    let many = argument
        .get_num_args()
        .is_some_and(|range| range.max_values() > 1);
    if many || matches!(argument.get_action(), ArgAction::Append) {
        name.push_str(" …");
    }
    let mut meaning = argument.get_help().unwrap().to_string();
    let possible = argument.get_possible_values();
    let possible: Vec<&str> = possible.iter().map(|value| value.get_name()).collect();
    if takes_value && !possible.is_empty() {
        write!(meaning, ": `{}`", possible.join("`, `")).unwrap();
    }
    // A computed default that the text states has a column of its own.
    let (meaning, computed) = match meaning.split_once(" [default: ") {
        Some((meaning, rest)) => {
            let (computed, rest) = rest.split_once(']').unwrap();
            (format!("{meaning}{rest}"), computed.to_owned())
        }
        None => (meaning, String::new()),
    };
    let default: Vec<_> = argument
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy())
        .collect();
    let without = match default.is_empty() {
        false if takes_value => format!("`{}`", default.join("`, `")),
        _ if argument.is_required_set() => "an error".to_owned(),
        _ => computed,
    };
    let escape = |text: &str| text.replace('|', "\\|");
    let gap = if without.is_empty() { "" } else { " " };
    format!(
        "| `{}` | {} |{gap}{} |\n",
        escape(&name),
        escape(&meaning),
        escape(&without)
    )
}

#[test]
fn the_reference_lists_every_argument() {
    for program in programs() {
        let wanted = reference(&program);
        let file = root().join(program.reference);
        if std::env::var_os("POINTSMAN_BLESS").is_some() {
            fs::write(&file, &wanted).unwrap();
        }
        let written = fs::read_to_string(file).unwrap_or_default();
        let command = "POINTSMAN_BLESS=1 cargo test -p pointsman-lab --bin pointsman-lab reference";
        assert!(
            written == wanted,
            "{} is another one: run `{command}`",
            program.reference
        );
    }
}

/// A command of ours in a document, and whether it is whole, as in a block of shell.
#[derive(Debug)]
struct Shown {
    words: Vec<String>,
    whole: bool,
}

/// Every `pointsman …` and `pointsman-lab …` in blocks and in inline code.
fn shown(text: &str) -> Vec<Shown> {
    let mut found = Vec::new();
    let mut block = false;
    let text = text.replace("\\\n", " ");
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            block = !block;
            continue;
        }
        let codes: Vec<&str> = match block {
            true => line.split("&&").collect(),
            false => line.split('`').skip(1).step_by(2).collect(),
        };
        for code in codes {
            let words = words(code);
            let first = words.first().map(|word| word.rsplit('/').next().unwrap());
            if matches!(first, Some("pointsman" | "pointsman-lab")) {
                found.push(Shown {
                    words,
                    whole: block,
                });
            }
        }
    }
    found
}

/// The words up to a comment, a redirection or a pipe; of `[--option VALUE …]` the option and its value.
fn words(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for word in code.split_whitespace() {
        if word.starts_with('#') || [">", "|", "<", ">>", "2>"].contains(&word) {
            break;
        }
        let word = word.trim_matches(['[', ']', '\'', '"', ',', ';']);
        // "And more" is not a word, but may stand for a value.
        let stands_for_value = found
            .last()
            .is_some_and(|last: &String| last.starts_with("--"));
        if !word.is_empty() && (word != "…" || stands_for_value) {
            found.push(word.to_owned());
        }
    }
    found
}

/// The problem of a command, if it has one.
fn fault(shown: &Shown) -> Option<String> {
    // `istio|envoy-gateway` are two commands.
    if let Some(place) = shown.words.iter().position(|word| word.contains('|')) {
        let mut ways = shown.words[place].split('|');
        return ways.find_map(|way| {
            let mut words = shown.words.clone();
            words[place] = way.to_owned();
            fault(&Shown { words, ..*shown })
        });
    }
    let name = shown.words[0].rsplit('/').next().unwrap();
    let programs = programs().into_iter();
    let command = programs
        .map(|program| program.command)
        .find(|item| item.get_name() == name);
    let error = command.unwrap().try_get_matches_from(&shown.words).err()?;
    let is_placeholder = |word: &str| word.bytes().all(|byte| !byte.is_ascii_lowercase());
    let about_placeholder = shown.words.iter().any(|word| {
        let quoted = format!("'{word}'");
        is_placeholder(word) && error.to_string().contains(&quoted)
    });
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => None,
        ErrorKind::InvalidValue | ErrorKind::ValueValidation if about_placeholder => None,
        // In a sentence a command need not be whole.
        ErrorKind::MissingRequiredArgument
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        | ErrorKind::MissingSubcommand
            if !shown.whole =>
        {
            None
        }
        ErrorKind::InvalidSubcommand
            if shown.words[1..].iter().all(|word| is_placeholder(word)) =>
        {
            None
        }
        _ => Some(
            error
                .to_string()
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned(),
        ),
    }
}

#[test]
fn every_command_in_the_documents_is_taken() {
    let (mut count, mut wrong) = (0, Vec::new());
    for (path, text) in documents() {
        for shown in shown(&text) {
            count += 1;
            if let Some(fault) = fault(&shown) {
                wrong.push(format!("{path}: {}: {fault}", shown.words.join(" ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count > 40, "{count} commands");
}

#[test]
fn wrong_commands_are_found() {
    for (text, is_wrong) in [
        ("```sh\npointsman check policy.json\n```", false),
        ("```sh\npointsman check\n```", true),
        (
            "```sh\nmake cli && target/release/pointsman chekc policy.json\n```",
            true,
        ),
        ("`pointsman check --stict`", true),
        ("`pointsman render istio|envoy-gateway POLICY`", false),
        ("`pointsman render istio|gateway POLICY`", true),
        ("`pointsman check`", false),
        ("`pointsman-lab demo --once`", false),
        ("`pointsman demo --once`", true),
    ] {
        let commands = shown(text);
        assert_eq!(commands.len(), 1, "{text}");
        assert_eq!(fault(&commands[0]).is_some(), is_wrong, "{text}");
    }
}

/// Options of other programs that documents name.
const FOREIGN: [&str; 5] = [
    "--mode",
    "--concurrency",
    "--build",
    "--wait",
    "--no-liftoff",
];

/// `--option` in inline code on its own, without a command before it.
#[test]
fn every_option_in_the_documents_is_one_of_ours() {
    let mut known: BTreeSet<String> = FOREIGN.map(str::to_owned).into();
    for program in programs() {
        let commands = program.command.get_subcommands();
        for command in
            commands.flat_map(|command| std::iter::once(command).chain(command.get_subcommands()))
        {
            let longs = command.get_arguments().filter_map(Arg::get_long);
            known.extend(longs.map(|long| format!("--{long}")));
        }
    }
    let mut wrong = Vec::new();
    for (path, text) in documents() {
        for code in text.split('`').skip(1).step_by(2) {
            let option = code.split([' ', '=']).next().unwrap();
            if option.len() > 2 && option.starts_with("--") && !known.contains(option) {
                wrong.push(format!("{path}: {option}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
