//! Puts texts into a template: a placeholder that has a line to itself brings its indentation to every line put there.

/// `template` with each `{{name}}` replaced. A line whose placeholder stands for nothing is left out.
pub fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for line in template.lines() {
        let trimmed = line.trim_start();
        let alone = trimmed
            .strip_prefix("{{")
            .and_then(|rest| rest.strip_suffix("}}"))
            .and_then(|name| find(values, name));
        match alone {
            Some(value) => out.push_str(&indent(value, line.len() - trimmed.len())),
            None => {
                let mut line = line.to_owned();
                let column = line.len() - line.trim_start().len();
                for (name, value) in values {
                    let inner = indent(value, column);
                    line = line.replace(&format!("{{{{{name}}}}}"), inner.trim());
                }
                out.push_str(&line);
                out.push('\n');
            }
        }
    }
    out
}

/// Every line of `text` moved to the right, each with its end.
pub fn indent(text: &str, columns: usize) -> String {
    let space = " ".repeat(columns);
    let mut out = String::new();
    for line in text.lines() {
        if !line.is_empty() {
            out.push_str(&space);
            out.push_str(line);
        }
        out.push('\n');
    }
    out
}

/// `text` as a YAML flow scalar: as it is if that cannot be misread, else quoted.
pub fn scalar(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./+|".contains(&byte);
    let begins = text
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic());
    let is_word = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"]
        .contains(&text.to_ascii_lowercase().as_str());
    if begins && text.bytes().all(plain) && !is_word {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}

/// A host: an IPv4 address needs no quotes, being no number.
pub fn address(host: &str) -> String {
    match host.parse::<std::net::Ipv4Addr>() {
        Ok(_) => host.to_owned(),
        Err(_) => scalar(host),
    }
}

/// A number of seconds as protobuf writes durations.
pub fn seconds(seconds: f64) -> String {
    format!("{}s", (seconds * 1000.0).round() / 1000.0)
}

fn find<'a>(values: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    values
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_bring_their_indentation() {
        let text = fill(
            "a:\n  {{b}}\n  {{none}}\n  c: [{{d}}]\n",
            &[("b", "x: 1\ny:\n  z: 2"), ("none", ""), ("d", "4")],
        );
        assert_eq!(text, "a:\n  x: 1\n  y:\n    z: 2\n  c: [4]\n");
    }

    #[test]
    fn scalars_are_quoted_where_they_must() {
        assert_eq!(scalar("gpu-1+lpu"), "gpu-1+lpu");
        assert_eq!(scalar("no"), "\"no\"");
        assert_eq!(scalar("8b: x"), "\"8b: x\"");
        assert_eq!(seconds(2.5), "2.5s");
        assert_eq!(seconds(10.0), "10s");
    }
}
