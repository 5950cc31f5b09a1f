//! A JSON text as a tree that knows where each value stands, so that every problem can name its line and column.
//!
//! serde_json says whether the text is JSON; this reader only walks text that it has accepted. It keeps the order of members
//! and all of two members with one name, which `serde_json::Value` does not.

use super::problem::Problem;
use crate::sort;

/// Deeper documents are refused: a policy needs six levels.
const DEEPEST: usize = 32;

/// One value, the byte at which it starts and the one behind its last.
pub(crate) struct Node {
    pub at: usize,
    pub end: usize,
    pub value: Value,
}

pub(crate) enum Value {
    Null,
    Bool,
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Object(Vec<Member>),
}

/// One member of an object and the byte at which its name starts.
pub(crate) struct Member {
    pub at: usize,
    pub name: String,
    pub value: Node,
}

impl Node {
    /// The member with this name.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.members()
            .iter()
            .find(|member| member.name == name)
            .map(|member| &member.value)
    }

    pub fn members(&self) -> &[Member] {
        match &self.value {
            Value::Object(members) => members,
            _ => &[],
        }
    }

    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn number(&self) -> Option<f64> {
        match self.value {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The items of the list `name` of this object; none without one.
    pub fn items_of(&self, name: &str) -> &[Node] {
        self.get(name).map_or(&[], Node::items)
    }

    /// The text `name` of this object.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Node::text)
    }

    /// The number `name` of this object.
    pub fn number_of(&self, name: &str) -> Option<f64> {
        self.get(name).and_then(Node::number)
    }

    /// The texts in the list `name` of this object.
    pub fn texts_of(&self, name: &str) -> impl Iterator<Item = &str> {
        self.items_of(name).iter().filter_map(Node::text)
    }

    /// The texts in the list `name` of this object, sorted, each once.
    pub fn sorted_texts_of(&self, name: &str) -> Vec<String> {
        let mut texts: Vec<String> = self.texts_of(name).map(str::to_owned).collect();
        sort::sort(&mut texts);
        texts.dedup();
        texts
    }

    /// The byte at which the member `name` of this object starts, or the object itself if it has none.
    pub fn offset_of(&self, name: &str) -> usize {
        self.get(name).map_or(self.at, |value| value.at)
    }

    /// The kind of this value, for "expected x, found y".
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "a string",
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
        }
    }
}

/// Line and column, both from 1, of the byte `at`; the column counts characters.
pub(crate) fn place(text: &str, at: usize) -> (u32, u32) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.bytes().filter(|byte| *byte == b'\n').count();
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |rest| rest.chars().count());
    (line as u32 + 1, column as u32 + 1)
}

/// Reads `text`, which must be one JSON value.
pub(crate) fn read(text: &str) -> Result<Node, Problem> {
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(text.as_bytes()) {
        return Err(not_json(text, &error));
    }
    let mut reader = Reader { text, at: 0 };
    reader.value(0).map_err(|message| {
        let (line, column) = place(text, reader.at);
        Problem {
            at: String::new(),
            message: message.into(),
            line,
            column,
        }
    })
}

/// The problem of a text that is not JSON: in words of those who wrote it, for the mistakes that are often made.
fn not_json(text: &str, error: &serde_json::Error) -> Problem {
    // The place stands in the problem, where it belongs. Of a text that ends too early it is column 0.
    let (line, column) = (error.line(), error.column());
    let problem = |message: &str, (line, column): (usize, usize)| Problem {
        at: String::new(),
        message: format!("not JSON: {message}"),
        line: (line as u32).max(1),
        column: (column as u32).max(1),
    };
    let lines_before = text.split_inclusive('\n').take(line.saturating_sub(1));
    let start: usize = lines_before.map(str::len).sum();
    // The parser stops at the byte that it did not expect, whose column it counts from 1.
    let at = start + column.saturating_sub(1);
    let before = text.get(..at).unwrap_or(text).trim_end();
    let rest = text.get(at..).unwrap_or_default().trim_start();
    let found = rest.bytes().next();
    let known = match found {
        _ if text.starts_with('\u{feff}') => {
            let message = "begins with a byte order mark: save the file without one";
            return problem(message, (1, 1));
        }
        Some(b'}' | b']') if before.ends_with(',') => {
            "there is a comma before the closing bracket: remove it"
        }
        Some(b',') if before.ends_with([',', '[', '{']) => "a value is missing before this comma",
        Some(b'/' | b'#') => "JSON has no comments: remove it, or write the policy as YAML",
        Some(b'\'') => "strings and names need double quotes",
        Some(b'T' | b'F') if rest.starts_with("True") || rest.starts_with("False") => {
            "booleans are written `true` and `false`"
        }
        Some(b'N' | b'I')
            if ["None", "NaN", "Infinity"]
                .iter()
                .any(|word| rest.starts_with(word)) =>
        {
            "there is no such value in JSON"
        }
        _ => {
            let message = error.to_string();
            let place = format!(" at line {line} column {column}");
            return problem(
                message.strip_suffix(&place).unwrap_or(&message),
                (line, column),
            );
        }
    };
    problem(known, (line, column))
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

type Read<T> = Result<T, &'static str>;

impl Reader<'_> {
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let space = rest
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count();
        self.at += space;
        rest.get(space).copied()
    }

    /// Steps over `byte` if it is next.
    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn value(&mut self, depth: usize) -> Read<Node> {
        let first = self.peek();
        let at = self.at;
        if depth > DEEPEST {
            return Err("nested too deeply for a policy");
        }
        let value = match first {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Value::Text(self.string()?),
            _ => self.word()?,
        };
        let end = self.at;
        Ok(Node { at, end, value })
    }

    fn object(&mut self, depth: usize) -> Read<Value> {
        self.at += 1;
        let mut members = Vec::new();
        while self.peek() == Some(b'"') {
            let at = self.at;
            let name = self.string()?;
            self.take(b':');
            let value = self.value(depth + 1)?;
            members.push(Member { at, name, value });
            self.take(b',');
        }
        self.take(b'}');
        Ok(Value::Object(members))
    }

    fn list(&mut self, depth: usize) -> Read<Value> {
        self.at += 1;
        let mut items = Vec::new();
        while !self.take(b']') {
            items.push(self.value(depth + 1)?);
            self.take(b',');
        }
        Ok(Value::List(items))
    }

    fn string(&mut self) -> Read<String> {
        let start = self.at;
        let mut end = start + 1;
        loop {
            match self.text.as_bytes().get(end) {
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(_) => end += 1,
                None => return Err("string without an end"),
            }
        }
        let raw = self.text.get(start..=end).ok_or("broken string")?;
        // Read as a JSON value, by the code that reads those of the API: one for strings alone would be linked besides.
        let Ok(serde_json::Value::String(text)) = serde_json::from_slice(raw.as_bytes()) else {
            return Err("string with a broken escape");
        };
        self.at = end + 1;
        Ok(text)
    }

    /// `null`, `true`, `false` or a number.
    fn word(&mut self) -> Read<Value> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
            .count();
        let word = rest.get(..length).unwrap_or_default();
        let value = match word {
            "null" => Value::Null,
            "true" | "false" => Value::Bool,
            _ => match word.parse::<f64>() {
                Ok(number) if number.is_finite() => Value::Number(number),
                _ => return Err("number too large"),
            },
        };
        self.at += length;
        Ok(value)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn knows_where_things_stand() {
        let text =
            "{\n  \"ä\": [1, -2.5e1, \"x\\n\"],\n  \"b\": {\"c\": null, \"d\": true, \"e\": {}}\n}";
        let root = read(text).unwrap();
        let list = root.get("ä").unwrap();
        assert_eq!(list.items()[1].number(), Some(-25.0));
        assert_eq!(list.items()[2].text(), Some("x\n"));
        assert_eq!(place(text, list.items()[1].at), (2, 12));
        let inner = root.get("b").unwrap();
        assert_eq!(inner.members().len(), 3);
        assert_eq!(place(text, inner.members()[1].at), (3, 20));
    }

    #[test]
    fn refuses_what_is_no_json() {
        for (text, message) in [
            ("", "not JSON: EOF while parsing a value"),
            (
                "{\n \"a\": 1,\n}",
                "not JSON: there is a comma before the closing bracket: remove it",
            ),
            (
                "[1, 2 , ]",
                "not JSON: there is a comma before the closing bracket: remove it",
            ),
            ("[1,, 2]", "not JSON: a value is missing before this comma"),
            (
                "{ // mine\n}",
                "not JSON: JSON has no comments: remove it, or write the policy as YAML",
            ),
            (
                "{\"a\": 1 /* mine */}",
                "not JSON: JSON has no comments: remove it, or write the policy as YAML",
            ),
            (
                "# mine\n{}",
                "not JSON: JSON has no comments: remove it, or write the policy as YAML",
            ),
            (
                "{}\n// mine",
                "not JSON: JSON has no comments: remove it, or write the policy as YAML",
            ),
            (
                "\u{feff}{}",
                "not JSON: begins with a byte order mark: save the file without one",
            ),
            ("{'a': 1}", "not JSON: strings and names need double quotes"),
            (
                "{\"a\": 'x'}",
                "not JSON: strings and names need double quotes",
            ),
            (
                "{\"a\": True}",
                "not JSON: booleans are written `true` and `false`",
            ),
            ("[NaN]", "not JSON: there is no such value in JSON"),
            ("[1] x", "not JSON: trailing characters"),
            ("[1e999]", "number too large"),
            ("[\"\\ud800\"]", "string with a broken escape"),
        ] {
            assert_eq!(read(text).err().unwrap().message, message, "{text}");
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(
            read(&deep).err().unwrap().message,
            "nested too deeply for a policy"
        );
    }

    #[test]
    fn never_panics_on_cut_or_changed_text() {
        let text = r#"{"a": [1, -2.5e1, "x\n\u00e4ä"], "b": {"c": null}}"#;
        for cut in 0..text.len() {
            if let Some(head) = text.get(..cut) {
                let _ = read(head);
                let _ = read(&format!("{head}\\"));
                let _ = read(&format!("{head}\""));
            }
        }
    }
}
