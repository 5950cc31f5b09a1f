//! A document that an operator wrote, JSON or YAML: read once, with the place of every value, and edited in the form it has.
//!
//! The proxy reads JSON alone, so YAML is turned into JSON here, and the places of problems are turned back. Every command
//! reads policies through [`Document::read`]; no command has a YAML parser of its own for them. It judges nothing.

pub mod json;
pub mod ordered;
mod yaml;
mod yaml_edit;

use std::path::Path;

use serde_json::Value;

/// One step of the way to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// The member of an object with this name.
    Key(&'a str),
    /// The item of a list with this number, from 0.
    Item(usize),
}

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// JSON
    Json,
    /// YAML 1.2
    Yaml,
}

impl Form {
    /// The form that the name of a file states by its ending: `.json`, `.yaml` or `.yml`.
    pub fn from_name(path: &Path) -> Option<Form> {
        let extension = path.extension()?.to_str()?;
        if extension.eq_ignore_ascii_case("json") {
            return Some(Form::Json);
        }
        let is_yaml = ["yaml", "yml"]
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known));
        is_yaml.then_some(Form::Yaml)
    }

    /// The form of a text whose file does not state it, as on standard input: JSON begins with a bracket, or with a comment
    /// that does not belong there.
    fn guess(text: &str) -> Form {
        let start = text.trim_start_matches('\u{feff}').trim_start();
        match start.starts_with(['{', '[', '/']) {
            true => Form::Json,
            false => Form::Yaml,
        }
    }
}

/// Why a text cannot be read: line and column, from 1, and the problem.
pub type Unreadable = (u32, u32, String);

/// A document: the text as it was written, and the JSON text that it means.
#[derive(Debug, Clone)]
pub struct Document {
    /// How it is written.
    pub form: Form,
    /// The text as it was written.
    pub text: String,
    /// The JSON text; of a YAML document a single line.
    pub json: String,
    /// Column in the JSON text → line and column in the YAML text, all from 1; empty for JSON.
    places: yaml::Places,
}

impl Document {
    /// Reads a text that came from `path`. The ending of the file's name says what it is; without one, its first character.
    ///
    /// A JSON text is not checked here: who compiles it names every problem.
    ///
    /// # Errors
    /// The place and the problem of a YAML text that cannot be read.
    pub fn read(path: &Path, text: String) -> Result<Document, Unreadable> {
        let form = Form::from_name(path).unwrap_or_else(|| Form::guess(&text));
        Document::parse(form, text)
    }

    /// Reads a text of this form.
    ///
    /// # Errors
    /// As [`Document::read`].
    pub fn parse(form: Form, text: String) -> Result<Document, Unreadable> {
        let (json, places) = match form {
            Form::Json => (text.clone(), yaml::Places::new()),
            Form::Yaml => yaml::read(&text)?,
        };
        Ok(Document {
            form,
            text,
            json,
            places,
        })
    }

    /// The place in the text as it was written of `line`, `column` of the JSON text.
    pub fn place(&self, line: u32, column: u32) -> (u32, u32) {
        let after = self.places.partition_point(|(json, _)| *json <= column);
        let found = after
            .checked_sub(1)
            .and_then(|index| self.places.get(index));
        found.map_or((line, column), |(_, written)| *written)
    }

    /// The document with `value` at `path`, every other byte as it was. Members that are missing on the way are added.
    ///
    /// `None` if the path leads through something that is neither an object nor a list, to an item that there is not, or, in
    /// YAML, through an alias: what it stands for is written elsewhere.
    pub fn set(&self, path: &[Step<'_>], value: &Value) -> Option<Document> {
        let written = value.to_string();
        let text = match self.form {
            Form::Json => json::set(&self.text, path, &written)?,
            Form::Yaml => yaml_edit::set(&self.text, path, &written)?,
        };
        let changed = Document::parse(self.form, text).ok()?;
        // The text was changed by places. What it means now has to be what was asked for, or nothing was changed.
        let mut wanted: Value = serde_json::from_str(&self.json).ok()?;
        *member(&mut wanted, path)? = value.clone();
        let found: Value = serde_json::from_str(&changed.json).ok()?;
        equal(&wanted, &found).then_some(changed)
    }

    /// The value at `path`.
    pub fn get(&self, path: &[Step<'_>]) -> Option<Value> {
        let mut value: Value = serde_json::from_str(&self.json).ok()?;
        for step in path {
            value = match step {
                Step::Key(key) => value.get_mut(*key)?.take(),
                Step::Item(number) => value.get_mut(*number)?.take(),
            };
        }
        Some(value)
    }
}

/// The value at `path`, added where members are missing.
fn member<'v>(value: &'v mut Value, path: &[Step<'_>]) -> Option<&'v mut Value> {
    let mut at = value;
    for step in path {
        at = match step {
            Step::Item(number) => at.get_mut(*number)?,
            Step::Key(key) => {
                if at.is_null() {
                    *at = Value::Object(serde_json::Map::new());
                }
                at.as_object_mut()?.entry(*key).or_insert(Value::Null)
            }
        };
    }
    Some(at)
}

/// Numbers are equal however they are written.
pub fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(one, two)| equal(one, two))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(name, one)| right.get(name).is_some_and(|two| equal(one, two)))
        }
        _ => left == right,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Step::{Item, Key};
    use super::*;
    use serde_json::json;

    fn read(name: &str, text: &str) -> Document {
        Document::read(Path::new(name), text.to_owned()).unwrap()
    }

    #[test]
    fn the_ending_or_the_first_character_says_what_a_text_is() {
        for (name, text, form) in [
            ("p.json", "{}", Form::Json),
            ("p.yaml", "{}", Form::Yaml),
            ("p.YML", "a: 1", Form::Yaml),
            ("-", " {\"a\": 1}", Form::Json),
            ("-", "{\"a\": 1,, }", Form::Json),
            ("-", "// mine\n{}", Form::Json),
            ("-", "a: 1", Form::Yaml),
            ("policy", "# mine\na: 1", Form::Yaml),
        ] {
            assert_eq!(read(name, text).form, form, "{name} {text}");
        }
    }

    #[test]
    fn an_edit_is_what_was_asked_for_in_either_form() {
        let json = read("p.json", "{\"a\": [{\"b\": 1.0}]}");
        let yaml = read("p.yaml", "a: # list\n- b: 1.0 # one\n");
        for document in [json, yaml] {
            let path = [Key("a"), Item(0), Key("b")];
            assert_eq!(document.get(&path), Some(json!(1.0)));
            let changed = document.set(&path, &json!(2)).unwrap();
            assert_eq!(changed.get(&path), Some(json!(2)));
            let path = [Key("a"), Item(0), Key("c"), Key("d e")];
            let changed = changed.set(&path, &json!(["x"])).unwrap();
            assert_eq!(changed.get(&path), Some(json!(["x"])));
            assert_eq!(
                document
                    .set(&[Key("a"), Item(1)], &json!(1))
                    .map(|item| item.text),
                None
            );
        }
    }
}
