//! Writes JSON by plain pushes: no formatting machinery, no value tree, so that replies cost little code in the module.

/// A JSON text in the making. The caller keeps braces and brackets in balance.
#[derive(Debug, Default)]
pub struct Json {
    text: String,
}

impl Json {
    /// Nothing yet.
    pub fn new() -> Json {
        Json::default()
    }

    /// The text.
    pub fn into_text(self) -> String {
        self.text
    }

    /// Opens an object or an array: `{` or `[`.
    pub fn open(&mut self, bracket: char) -> &mut Json {
        self.separate();
        self.text.push(bracket);
        self
    }

    /// Closes an object or an array: `}` or `]`.
    pub fn close(&mut self, bracket: char) -> &mut Json {
        self.text.push(bracket);
        self
    }

    /// A member's name; its value follows.
    pub fn key(&mut self, name: &str) -> &mut Json {
        self.string(name);
        self.text.push(':');
        self
    }

    /// A string.
    pub fn string(&mut self, value: &str) -> &mut Json {
        self.separate();
        self.text.push('"');
        for c in value.chars() {
            match c {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                c if (c as u32) < 0x20 => {
                    self.text.push_str("\\u00");
                    self.text.push(if (c as u32) < 0x10 { '0' } else { '1' });
                    self.text
                        .push(char::from_digit(c as u32 & 15, 16).unwrap_or('0'));
                }
                c => self.text.push(c),
            }
        }
        self.text.push('"');
        self
    }

    /// A number with at most `decimals` decimals; what is not finite becomes `null`.
    pub fn number(&mut self, value: f64, decimals: u32) -> &mut Json {
        self.separate();
        if value.is_finite() {
            push_fixed(&mut self.text, value, decimals);
        } else {
            self.text.push_str("null");
        }
        self
    }

    /// `true`, `false` or `null`.
    pub fn literal(&mut self, value: &str) -> &mut Json {
        self.separate();
        self.text.push_str(value);
        self
    }

    /// A member with a string as its value.
    pub fn text_member(&mut self, name: &str, value: &str) -> &mut Json {
        self.key(name).string(value)
    }

    /// A member with a number as its value.
    pub fn number_member(&mut self, name: &str, value: f64, decimals: u32) -> &mut Json {
        self.key(name).number(value, decimals)
    }

    /// A comma where one belongs: after a value, before the next.
    fn separate(&mut self) {
        if !matches!(
            self.text.as_bytes().last(),
            None | Some(b'{' | b'[' | b':' | b',')
        ) {
            self.text.push(',');
        }
    }
}

/// Writes `value` with at most `decimals` decimals (up to 12), trailing zeros left out. Values past ±9·10¹⁵ after scaling
/// are cut off there; what is not a number becomes 0.
pub fn push_fixed(out: &mut String, value: f64, decimals: u32) {
    let decimals = decimals.min(12);
    let scale = 10u64.pow(decimals);
    let scaled = (value.abs() * scale as f64 + 0.5).min(9.0e15) as u64;
    if value < 0.0 && scaled > 0 {
        out.push('-');
    }
    push_integer(out, scaled / scale);
    let mut rest = scaled % scale;
    if rest == 0 {
        return;
    }
    out.push('.');
    let mut unit = scale / 10;
    while rest > 0 && unit > 0 {
        out.push(digit(rest / unit));
        rest %= unit;
        unit /= 10;
    }
}

/// Writes an integer.
pub fn push_integer(out: &mut String, value: u64) {
    let mut unit = 1u64;
    while value / unit >= 10 {
        unit *= 10;
    }
    let mut rest = value;
    while unit > 0 {
        out.push(digit(rest / unit));
        rest %= unit;
        unit /= 10;
    }
}

fn digit(value: u64) -> char {
    char::from(b'0' + (value % 10) as u8)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn fixed(value: f64, decimals: u32) -> String {
        let mut out = String::new();
        push_fixed(&mut out, value, decimals);
        out
    }

    #[test]
    fn numbers() {
        assert_eq!(fixed(0.0, 3), "0");
        assert_eq!(fixed(-0.0004, 3), "0");
        assert_eq!(fixed(-0.53, 2), "-0.53");
        assert_eq!(fixed(1.2996, 3), "1.3");
        assert_eq!(fixed(0.000_000_05, 9), "0.00000005");
        assert_eq!(fixed(f64::NAN, 3), "0");
        assert_eq!(fixed(f64::INFINITY, 0), "9000000000000000");
        assert_eq!(fixed(1_048_576.0, 0), "1048576");
        let mut out = String::new();
        push_integer(&mut out, u64::MAX);
        assert_eq!(out, u64::MAX.to_string());
    }

    #[test]
    fn strings_survive_a_parser() {
        let all: String = (0..0x2000u32).filter_map(char::from_u32).collect();
        let mut json = Json::new();
        json.open('[').string(&all).string("").close(']');
        let parsed: Vec<String> = serde_json::from_str(&json.into_text()).unwrap();
        assert_eq!(parsed, [all, String::new()]);
    }

    #[test]
    fn commas_stand_where_they_belong() {
        let mut json = Json::new();
        json.open('{').text_member("a,", "b,").key("c").open('[');
        json.number(1.0, 0).number(f64::NAN, 0).open('{').close('}');
        json.open('[')
            .close(']')
            .close(']')
            .key("d")
            .literal("true")
            .close('}');
        assert_eq!(
            json.into_text(),
            r#"{"a,":"b,","c":[1,null,{},[]],"d":true}"#
        );
    }
}
