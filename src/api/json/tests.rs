//! The cursor against serde_json: the same texts are JSON, and strings and numbers read alike.

use super::*;

fn skip(text: &str) -> Result<(), ParseError> {
    let mut cursor = Cursor::new(text, 0);
    cursor.skip_value()?;
    cursor.end()
}

const ACCEPTED: &[&str] = &[
    "{}",
    "[]",
    " [ 1 , 2 ] ",
    "{\"a\":{\"b\":[{}, [], \"\"]}, \"c\":null}",
    "[0, -0, 0.5, -1.25e+10, 1E-2, 12345678901234567890123, true, false, null]",
    "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\ud83d\\ude00\"]",
    "[\"\u{7f}é漢😀\"]",
    "{\"\":1, \"\":2}",
    "[[[[[[[[]]]]]]]]",
];

const REFUSED: &[&str] = &[
    "",
    " ",
    "{",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1}",
    "{\"a\":1]",
    "{\"a\":1,}",
    "{,}",
    "{\"a\"}",
    "{\"a\" 1}",
    "{a:1}",
    "{'a':1}",
    "{1:1}",
    "[01]",
    "[-]",
    "[1.]",
    "[.5]",
    "[1e]",
    "[+1]",
    "[0x10]",
    "[NaN]",
    "[Infinity]",
    "[-Infinity]",
    "[nul]",
    "[nulll]",
    "[True]",
    "[\"\\x\"]",
    "[\"\\u12g4\"]",
    "[\"\\u 123\"]",
    "[\"a\nb\"]",
    "[\"\u{0}\"]",
    "[\"\u{1f}\"]",
    "[\"abc]",
    "[1] 2",
    "{} {}",
    "[1] // no",
    "\u{feff}[]",
    "[1\u{a0}]",
    "[\u{b}1]",
];

#[test]
fn the_same_texts_are_json_as_for_serde_json() {
    for (texts, wanted) in [(ACCEPTED, true), (REFUSED, false)] {
        for text in texts {
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
            assert_eq!(theirs, wanted, "serde_json on {text:?}");
            assert_eq!(skip(text).is_ok(), wanted, "we on {text:?}");
        }
    }
}

#[test]
fn every_prefix_of_json_is_cut_and_nothing_else() {
    for text in ACCEPTED {
        let whole = text.trim_end();
        for end in (0..whole.len()).filter(|&end| whole.is_char_boundary(end)) {
            assert!(
                matches!(skip(&whole[..end]), Err(ParseError::Cut)),
                "{:?}",
                &whole[..end]
            );
        }
    }
}

#[test]
fn depth_is_bounded_without_recursion() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(skip(&nested(MAX_DEPTH as usize)).is_ok());
    assert!(matches!(
        skip(&nested(MAX_DEPTH as usize + 1)),
        Err(ParseError::TooDeep { offset: 128 })
    ));
    let objects = "{\"a\":".repeat(1_000_000);
    assert!(matches!(skip(&objects), Err(ParseError::TooDeep { .. })));
    // Kinds are kept right through all levels.
    let mixed = "[{\"a\":".repeat(64) + "1" + &"}]".repeat(64);
    assert!(skip(&mixed).is_ok());
    let crossed = "[{\"a\":".repeat(64) + "1" + &"]}".repeat(64);
    assert!(matches!(skip(&crossed), Err(ParseError::NotJson { .. })));
}

#[test]
fn strings_decode_as_serde_json_decodes_them() {
    for text in [
        r#""""#,
        r#""plain""#,
        r#""\"\\\/\b\f\n\r\t""#,
        r#""\u0041\u00e9\u6f22\uD83D\uDE00""#,
        r#""before \n between \u0000 after""#,
        r#""é漢😀 and a long tail of more than thirty-two bytes\n""#,
        r#""\n sixteen or more plain bytes, then an escape \" in the middle of a block, and \t\n two in a row""#,
        r#""\n0123456789abcdé across the end of a block, and 漢漢漢漢漢漢漢漢漢\\""#,
        r#""\n0123456789abcdef""#,
    ] {
        let mut cursor = Cursor::new(text, 0);
        let theirs: String = serde_json::from_str(text).unwrap();
        assert_eq!(cursor.string().unwrap(), theirs);
        assert_eq!(cursor.offset(), text.len());
    }
}

#[test]
fn strings_without_escapes_are_borrowed() {
    let mut cursor = Cursor::new(r#""no escape""#, 0);
    assert!(matches!(cursor.string(), Ok(Cow::Borrowed("no escape"))));
}

#[test]
fn surrogates_without_a_partner_become_replacement_characters() {
    for (text, wanted) in [
        (r#""\ud800""#, "\u{fffd}"),
        (r#""\udc00""#, "\u{fffd}"),
        (r#""\ud800x""#, "\u{fffd}x"),
        (r#""\ud800\n""#, "\u{fffd}\n"),
        (r#""\ud800\u0041""#, "\u{fffd}A"),
        (r#""\ud800\ud83d\ude00""#, "\u{fffd}😀"),
        (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
    ] {
        assert_eq!(Cursor::new(text, 0).string().unwrap(), wanted, "{text}");
    }
}

#[test]
fn a_cut_string_gives_a_prefix_of_the_whole_one() {
    let text = r#""ab\n\u0041 \ud83d\ude00 \ud800x é漢""#;
    let whole = Cursor::new(text, 0).string().unwrap();
    let mut longest = 0;
    for end in (1..text.len()).filter(|&end| text.is_char_boundary(end)) {
        let (so_far, stop) = Cursor::new(&text[..end], 0).string_so_far();
        assert!(matches!(stop, Err(ParseError::Cut)), "{}", &text[..end]);
        assert!(whole.starts_with(&*so_far), "{so_far:?}");
        assert!(so_far.len() >= longest);
        longest = so_far.len();
    }
    assert_eq!(longest, whole.len());
}

#[test]
fn runs_of_plain_bytes_end_at_the_first_special_byte_wherever_it_stands() {
    for length in 0..100 {
        for at in 0..length {
            for byte in (0..=255u8).filter(|byte| !byte.is_ascii_alphanumeric()) {
                let mut bytes = vec![b'x'; length];
                bytes[at] = byte;
                let special = byte < 0x20 || byte == b'"' || byte == b'\\';
                let wanted = if special { at } else { length };
                assert_eq!(
                    plain_end(&bytes, 0),
                    wanted,
                    "{byte:#x} at {at} of {length}"
                );
            }
        }
    }
    assert_eq!(plain_end(b"abc", 7), 7);
}

#[test]
fn long_strings_are_skipped_whole() {
    let long = format!("[\"{}\", 1]", "QUJD".repeat(2_500_000));
    assert!(skip(&long).is_ok());
}
