//! Scans a body that could not be parsed: does it name a profile, and may it be a request to a model?
//!
//! The name of a profile must not leave the proxy in a body that was not decided on. So the bytes are searched for it, whatever they
//! are: broken JSON, a form, several documents. The search prefers false positives. Routing uses no name from here.

use std::borrow::Cow;

/// The model that an unparsed body names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedModel {
    /// A profile, in at least one place.
    Profile,
    /// Another model or none; all of the text was seen.
    Other,
    /// Unknown: the body is encoded, truncated, or not text.
    Unknown,
}

/// Findings about a body that could not be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnparsedBody {
    /// The model that it names.
    pub named: NamedModel,
    /// Whether it may be a request to a model: it names one, or has a field for a prompt.
    pub may_be_request: bool,
}

impl UnparsedBody {
    /// Findings about a body that was not seen.
    pub const UNKNOWN: UnparsedBody = UnparsedBody {
        named: NamedModel::Unknown,
        may_be_request: true,
    };

    /// Scans `body`, whose end may be missing if `complete` is false. `is_profile` is called with names as written.
    pub fn scan(body: &[u8], complete: bool, is_profile: impl Fn(&str) -> bool) -> UnparsedBody {
        if !is_text(body) {
            return UnparsedBody::UNKNOWN;
        }
        let text = String::from_utf8_lossy(body);
        let text = unescape(&text);
        let mut may_be_request = !complete || ASKING.iter().any(|field| text.contains(field));
        let mut named = if complete {
            NamedModel::Other
        } else {
            NamedModel::Unknown
        };
        let mut rest: &str = &text;
        while let Some(at) = find_model(rest) {
            rest = rest.get(at + MODEL.len()..).unwrap_or_default();
            may_be_request = true;
            let value = rest.trim_start_matches(|letter: char| {
                letter.is_whitespace() || "\"'\\:=[{,".contains(letter)
            });
            let name = name_at_start(value);
            let before_comma = name.split(',').next().unwrap_or(name);
            if is_profile(name) || is_profile(before_comma.trim_end()) {
                named = NamedModel::Profile;
                break;
            }
        }
        UnparsedBody {
            named,
            may_be_request,
        }
    }
}

const MODEL: &str = "model";

/// Keys of fields that hold a prompt, as JSON writes them.
const ASKING: [&str; 7] = [
    "\"messages\"",
    "\"prompt\"",
    "\"input\"",
    "\"inputs\"",
    "\"contents\"",
    "\"requests\"",
    "\"input_file_id\"",
];

/// Whether a body is text: not compressed, by its first bytes, whatever its headers say; not UTF-16; without zero bytes.
fn is_text(body: &[u8]) -> bool {
    let is_compressed = matches!(
        body,
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..]
    );
    let is_wide = matches!(body, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
    // In text of another encoding a few bytes are odd; in binary data most are.
    let is_binary = || {
        let start = body.get(..body.len().min(256)).unwrap_or_default();
        let odd = start
            .iter()
            .filter(|byte| !(9..127).contains(*byte))
            .count();
        std::str::from_utf8(body).is_err() && odd * 4 > start.len()
    };
    !is_compressed && !is_wide && !body.contains(&0) && !is_binary()
}

/// Offset of the next word `model`, in any case.
fn find_model(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    bytes
        .windows(MODEL.len())
        .enumerate()
        .find_map(|(at, five)| {
            let before = at.checked_sub(1).and_then(|at| bytes.get(at).copied());
            let behind = bytes.get(at + MODEL.len()).copied();
            let is_word = !before.is_some_and(is_letter) && !behind.is_some_and(is_letter);
            (is_word && five.eq_ignore_ascii_case(MODEL.as_bytes())).then_some(at)
        })
}

/// The name at the start of `text`; profiles have short names.
fn name_at_start(text: &str) -> &str {
    const LONGEST: usize = 256;
    let ends = |letter: char| letter.is_control() || "\"'\\&<>{}[]".contains(letter);
    let end = text.find(ends).unwrap_or(text.len()).min(LONGEST);
    let end = (0..=end).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default())
        .unwrap_or_default()
        .trim()
}

/// The text with JSON's `\uXXXX` and `\/` resolved everywhere.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains("\\u") && !text.contains("\\/") {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at_checked(at).unwrap_or((rest, ""));
        plain.push_str(before);
        let code = escape
            .strip_prefix("\\u")
            .and_then(|digits| u32::from_str_radix(digits.get(..4)?, 16).ok());
        let taken = match code.and_then(char::from_u32) {
            Some(letter) => {
                plain.push(letter);
                6
            }
            None if escape.starts_with("\\/") => {
                plain.push('/');
                2
            }
            None => {
                plain.push('\\');
                1
            }
        };
        rest = escape.get(taken..).unwrap_or_default();
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn scan(body: &[u8], complete: bool) -> UnparsedBody {
        UnparsedBody::scan(body, complete, |name| {
            name.eq_ignore_ascii_case("auto") || name == "my profile"
        })
    }

    #[test]
    fn a_profile_is_found_whatever_the_body_is() {
        for body in [
            r#"{"model":"auto","messages":3}"#,
            r#"{ "Model" : "AUTO" "#,
            r#"{"model":"small","x":[{"model":"auto"}]"#,
            r#"{"mod\u0065l":"\u0061uto"}"#,
            r#"{"model":["auto"]}"#,
            r#"[{"model":"auto"}]"#,
            "model=auto&prompt=x",
            "--x\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nauto\r\n--x--",
            "{'model': 'auto'}",
            "{model: auto}",
            r#""{\"model\":\"auto\"}""#,
            r#"{"model":"my profile"}"#,
            "{\"model\":\"auto\",\"messages\":\"\u{fffd}\"",
        ] {
            assert_eq!(
                scan(body.as_bytes(), true).named,
                NamedModel::Profile,
                "{body}"
            );
            assert_eq!(
                scan(body.as_bytes(), false).named,
                NamedModel::Profile,
                "{body}"
            );
        }
        let latin = b"{\"model\":\"auto\",\"messages\":\"\xfcber\"}";
        assert_eq!(scan(latin, true).named, NamedModel::Profile);
    }

    #[test]
    fn another_name_is_none_and_an_unread_one_may_be() {
        for body in [
            r#"{"model":"small","messages":3}"#,
            r#"{"model":"automatic"}"#,
            r#"{"supermodel":"auto"}"#,
            r#"{"model":7}"#,
            "model=small",
            "Say hello.",
            "",
            "{}",
        ] {
            assert_eq!(
                scan(body.as_bytes(), true).named,
                NamedModel::Other,
                "{body}"
            );
            assert_eq!(
                scan(body.as_bytes(), false).named,
                NamedModel::Unknown,
                "{body}"
            );
        }
        for body in [
            &b"\x1f\x8b\x08\x00\x00"[..],
            b"\xff\xfe{\x00\"\x00",
            b"{\x00\"\x00m\x00",
            b"\x28\xb5\x2f\xfd\x04",
            b"\x8b\x0c\x80\xa1\xb2\xff\x91\x03",
        ] {
            assert_eq!(scan(body, true), UnparsedBody::UNKNOWN, "{body:?}");
        }
    }

    #[test]
    fn bodies_that_may_ask_a_model_are_recognised() {
        for (body, may_be_request) in [
            (r#"{"metadata":{"a":"b"}}"#, false),
            ("{}", false),
            ("", false),
            (r#"{"messages":[]}"#, true),
            (r#"{"contents":[]}"#, true),
            (r#"{"model":"x"}"#, true),
            (r#"{"input":"x"}"#, true),
        ] {
            assert_eq!(
                scan(body.as_bytes(), true).may_be_request,
                may_be_request,
                "{body}"
            );
        }
    }

    #[test]
    fn it_is_linear_and_never_panics() {
        let long = "\"model\":\\u00".repeat(20_000);
        scan(long.as_bytes(), true);
        for cut in 0..64 {
            scan(&long.as_bytes()[..cut], false);
            let odd = "ä\\u00e4model\u{1F600}".as_bytes();
            scan(&odd[..cut.min(odd.len())], true);
        }
    }
}
