//! `pointsman convert`: a policy as JSON, which proxies read, or as YAML, which people write.
//!
//! Members keep their order. JSON has no comments, so those of YAML are lost, and the command says so.

use std::path::PathBuf;

use crate::failure::Failure;
use crate::io::document::ordered::Ordered;
use crate::io::document::{Document, Form};
use crate::io::input;

/// Arguments of `pointsman convert`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 done; 2 bad usage, a policy that does not compile, or a file."
)]
pub struct Args {
    /// The policy, JSON or YAML; `-` is standard input
    policy: PathBuf,
    /// The form to write [default: what the ending of --output says, else the other form]
    #[arg(long, value_enum)]
    to: Option<Form>,
    /// Where to write it; without it standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Writes the policy in the other form, if it compiles.
pub fn run(args: &Args) -> Result<(), Failure> {
    let (_, document) = input::read_policy_document(&args.policy)?;
    let by_name = args.output.as_deref().and_then(Form::from_name);
    let other = match document.form {
        Form::Json => Form::Yaml,
        Form::Yaml => Form::Json,
    };
    let form = args.to.or(by_name).unwrap_or(other);
    if document.form == Form::Yaml && has_comments(&document.text) {
        eprintln!("note: comments are not kept");
    }
    let text = convert(&document, form)?;
    input::write(args.output.as_deref(), &text)
}

/// The document in this form, laid out over several lines.
pub fn convert(document: &Document, form: Form) -> Result<String, Failure> {
    let failed = |error: String| Failure::Input(format!("cannot convert the policy: {error}"));
    let value: Ordered =
        serde_json::from_str(&document.json).map_err(|error| failed(error.to_string()))?;
    match form {
        Form::Json => serde_json::to_string_pretty(&value)
            .map(|text| text + "\n")
            .map_err(|error| failed(error.to_string())),
        Form::Yaml => serde_yaml_ng::to_string(&value).map_err(|error| failed(error.to_string())),
    }
}

/// Whether a line of YAML seems to hold a comment: a `#` at its start or behind white space.
fn has_comments(text: &str) -> bool {
    text.lines()
        .any(|line| line.trim_start().starts_with('#') || line.contains(" #"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_is_the_same_document() {
        let json = "{\"z\": [1, 2.5, -3, true, null, \"on\", \"1.0\", \"ü: #\"], \"a\": {\"n\": {}, \"l\": []}}";
        let document = Document::parse(Form::Json, json.to_owned()).unwrap();
        let yaml = convert(&document, Form::Yaml).unwrap();
        assert!(yaml.starts_with("z:\n"), "{yaml}");
        let back = Document::parse(Form::Yaml, yaml).unwrap();
        let again: Ordered = serde_json::from_str(&back.json).unwrap();
        assert_eq!(again, serde_json::from_str::<Ordered>(json).unwrap());
    }
}
