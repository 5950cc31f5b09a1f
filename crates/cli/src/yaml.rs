//! Policies written as YAML: turned into JSON that the core reads, with the places of its problems turned back.
//!
//! YAML 1.2 with its core schema: only `true` and `false` are booleans, only what looks like a JSON number is a number.
//! Anchors, aliases, tags and several documents are refused: a policy is one tree, and the proxy reads JSON.

use std::fmt::Write;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

/// A policy's JSON text and, where it was YAML, where its values stood.
pub struct Document {
    /// The JSON text; of a YAML one a single line.
    pub json: String,
    /// Column in the JSON text → line and column in the YAML text, all from 1; empty where the text was JSON already.
    places: Vec<(u32, (u32, u32))>,
}

impl Document {
    /// A text that is JSON, or shall be.
    pub fn of_json(json: String) -> Document {
        Document {
            json,
            places: Vec::new(),
        }
    }

    /// Reads a YAML text.
    ///
    /// # Errors
    /// Line, column (from 1) and what is wrong there.
    pub fn of_yaml(text: &str) -> Result<Document, (u32, u32, String)> {
        let mut writer = Writer::default();
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| {
                let (line, column) = place(*error.marker());
                (line, column, format!("not YAML: {}", error.info()))
            })?;
            let (line, column) = place(span.start);
            writer
                .take(&event, (line, column))
                .map_err(|problem| (line, column, problem))?;
        }
        if writer.json.is_empty() {
            return Err((1, 1, "is empty".to_owned()));
        }
        Ok(Document {
            json: writer.json,
            places: writer.places,
        })
    }

    /// Where in the text as it was written the place `line`, `column` of the JSON text is.
    pub fn place(&self, line: u32, column: u32) -> (u32, u32) {
        let after = self.places.partition_point(|(json, _)| *json <= column);
        let found = after
            .checked_sub(1)
            .and_then(|index| self.places.get(index));
        found.map_or((line, column), |(_, written)| *written)
    }
}

fn place(marker: Marker) -> (u32, u32) {
    (marker.line() as u32, marker.col() as u32 + 1)
}

/// Writes JSON on one line as events come.
#[derive(Default)]
struct Writer {
    json: String,
    /// Characters written so far.
    column: u32,
    places: Vec<(u32, (u32, u32))>,
    open: Vec<Open>,
    documents: u32,
}

/// A list or a mapping that has not ended.
struct Open {
    is_mapping: bool,
    /// Values written, keys included.
    count: u32,
}

impl Writer {
    fn take(&mut self, event: &Event<'_>, at: (u32, u32)) -> Result<(), String> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err("a second document begins here".to_owned());
                }
            }
            Event::Alias(_) => return Err("aliases are not supported".to_owned()),
            Event::Scalar(text, style, anchor, tag) => {
                refuse(*anchor, tag.is_some())?;
                self.scalar(text, *style, at);
            }
            Event::SequenceStart(anchor, tag) => {
                refuse(*anchor, tag.is_some())?;
                self.open(false, at)?;
            }
            Event::MappingStart(anchor, tag) => {
                refuse(*anchor, tag.is_some())?;
                self.open(true, at)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    /// What goes before a value; tells whether it is a key.
    fn begin(&mut self, at: (u32, u32)) -> bool {
        let (separator, is_key) = match self.open.last_mut() {
            None => ("", false),
            Some(open) => {
                let is_key = open.is_mapping && open.count % 2 == 0;
                let separator = match (open.count, open.is_mapping && !is_key) {
                    (_, true) => ":",
                    (0, false) => "",
                    (_, false) => ",",
                };
                open.count += 1;
                (separator, is_key)
            }
        };
        self.push(separator);
        self.places.push((self.column + 1, at));
        is_key
    }

    fn open(&mut self, is_mapping: bool, at: (u32, u32)) -> Result<(), String> {
        if self.begin(at) {
            return Err("a key must be a text".to_owned());
        }
        self.push(if is_mapping { "{" } else { "[" });
        self.open.push(Open {
            is_mapping,
            count: 0,
        });
        Ok(())
    }

    fn close(&mut self) {
        if let Some(open) = self.open.pop() {
            self.push(if open.is_mapping { "}" } else { "]" });
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, at: (u32, u32)) {
        let is_key = self.begin(at);
        if style == ScalarStyle::Plain && !is_key && is_json_word(text) {
            return self.push(text);
        }
        if style == ScalarStyle::Plain && !is_key && matches!(text, "" | "~") {
            return self.push("null");
        }
        self.push(&serde_json::Value::from(text).to_string());
    }

    fn push(&mut self, text: &str) {
        // Writing to a string cannot fail.
        let _ = self.json.write_str(text);
        self.column += text.chars().count() as u32;
    }
}

fn refuse(anchor: usize, has_tag: bool) -> Result<(), String> {
    match (anchor, has_tag) {
        (0, false) => Ok(()),
        (0, true) => Err("tags are not supported".to_owned()),
        _ => Err("anchors are not supported".to_owned()),
    }
}

/// Whether `text` means the same in JSON without quotes.
fn is_json_word(text: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(text)
        .is_ok_and(|value| value.is_null() || value.is_boolean() || value.is_number())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn yaml_becomes_json_and_keeps_its_places() {
        let text = "# a fleet\nversion: \"1\"\nmodels:\n  - name: a-1\n    context_window: 8192\n  - {name: 'on', tags: [x, 1.5, true, ~]}\n";
        let document = Document::of_yaml(text).unwrap();
        assert_eq!(
            document.json,
            r#"{"version":"1","models":[{"name":"a-1","context_window":8192},{"name":"on","tags":["x",1.5,true,null]}]}"#
        );
        let column = |part: &str| document.json.find(part).unwrap() as u32 + 1;
        assert_eq!(document.place(1, column("\"version\"")), (2, 1));
        assert_eq!(document.place(1, column("8192")), (5, 21));
        assert_eq!(document.place(1, column("\"name\":\"on\"")), (6, 6));
        assert_eq!(document.place(1, column("1.5")), (6, 28));
    }

    #[test]
    fn what_is_no_tree_of_json_is_refused_with_its_place() {
        for (text, wanted) in [
            ("a: &x 1", (1, 7, "anchors are not supported")),
            ("a: *x", (1, 4, "")),
            ("a: !!str 1", (1, 10, "tags are not supported")),
            ("? [1]\n: 2", (1, 3, "a key must be a text")),
            ("a: 1\n---\nb: 2", (2, 1, "a second document begins here")),
            ("", (1, 1, "is empty")),
        ] {
            let (line, column, problem) = Document::of_yaml(text).err().unwrap();
            if wanted.2.is_empty() {
                continue;
            }
            assert_eq!(
                (line, problem.as_str()),
                (wanted.0, wanted.2),
                "{text} {column}"
            );
        }
        let (line, _, problem) = Document::of_yaml("a: [1\nb: 2").err().unwrap();
        assert!(problem.starts_with("not YAML: "), "{problem}");
        assert!(line >= 1);
    }

    #[test]
    fn json_is_yaml_but_keeps_its_own_places() {
        let document = Document::of_json("{\n \"a\": 1}".into());
        assert_eq!(document.place(2, 7), (2, 7));
        assert!(Document::of_yaml("{\"a\": [1, \"x\"]}").is_ok());
    }
}
