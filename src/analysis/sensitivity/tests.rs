//! Published test numbers are found, near misses are not.

#![allow(clippy::unwrap_used, clippy::string_slice)]

use super::*;

fn found(text: &str) -> Vec<&'static str> {
    find(text).names().collect()
}

#[test]
fn what_is_sensitive_is_found() {
    for (text, kind) in [
        ("write to jane.doe+x@mail.example.co.uk, please", "email"),
        ("<mailto:a@b.de>", "email"),
        ("call +49 30 901820 now", "phone"),
        ("call +1-202-555-0143.", "phone"),
        ("Tel: 202-555-0143", "phone"),
        ("pay with 4111 1111 1111 1111 today", "card"),
        ("5555-5555-5555-4444", "card"),
        ("amex 378282246310005", "card"),
        ("card: 6011111111111117, exp 12/27", "card"),
        ("IBAN DE89 3704 0044 0532 0130 00", "iban"),
        ("to GB29NWBK60161331926819.", "iban"),
        ("my SSN is 219-09-9999", "national_id"),
        ("NI number AB123456C", "national_id"),
        ("DNI 12345678Z", "national_id"),
        ("CPF 529.982.247-25", "national_id"),
        ("key=sk-abcdefghijklmnopqrst12345", "secret"),
        ("AKIAIOSFODNN7EXAMPLE", "secret"),
        ("ghp_0123456789abcdefghijABCDEFGHIJ012345", "secret"),
        ("-----BEGIN RSA PRIVATE KEY-----", "secret"),
        (
            "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
            "secret",
        ),
    ] {
        assert_eq!(found(text), [kind], "{text}");
    }
}

#[test]
fn what_only_looks_like_it_is_not() {
    for text in [
        "",
        "@app.route('/x') def f(): pass",
        "user@localhost",
        "3 @ 4.50",
        "4111 1111 1111 1112",
        "1234567890123456",
        "0000 0000 0000 0000",
        "DE89 3704 0044 0532 0130 01",
        "What is 123456789 * 987654321?",
        "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12",
        "from 2024-01-01 to 2024-12-31",
        "192.168.100.200",
        "3.14159265358979323846",
        "219-00-9999 000-12-3456 666-12-3456",
        "12345678A",
        "529.982.247-26",
        "sk-learn and sk-",
        "the task-abcdefghijklmnopqrstuvwxyz",
        "ISBN 978-3-16-148410-0",
        "f(x) = 4x^3 + 123456789012",
        "5.161905027980000e+08 516190503.8",
        "x+49 30 901820",
        "version 555.123.4567.1",
        "AB123456E",
        "ÄÖÜ@ß.de",
    ] {
        assert_eq!(found(text), [""; 0], "{text}");
    }
}

/// One example of each kind.
const EXAMPLES: &[(&str, &str)] = &[
    ("joe@x.com", "email"),
    ("+49 30 901820", "phone"),
    ("202-555-0143", "phone"),
    ("(202) 555-0143", "phone"),
    ("4111 1111 1111 1111", "card"),
    ("378282246310005", "card"),
    ("DE89 3704 0044 0532 0130 00", "iban"),
    ("GB29NWBK60161331926819", "iban"),
    ("219-09-9999", "national_id"),
    ("AB123456C", "national_id"),
    ("12345678Z", "national_id"),
    ("529.982.247-25", "national_id"),
    ("sk-abcdefghijklmnopqrst12345", "secret"),
    ("AKIAIOSFODNN7EXAMPLE", "secret"),
    ("ghp_0123456789abcdefghijABCDEFGHIJ012345", "secret"),
    (
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
        "secret",
    ),
];

#[test]
fn anything_may_stand_before_and_after() {
    for before in [
        "", " ", "x ", "x: ", "x:", "x=", "(", "[", "{", "<", "\"", "'", "`", "**", "_", "~", "#",
        "|", "\t", "\n", "\r\n", "\u{a0}", "\u{3000}", "\u{feff}", "\u{200b}", "x,", "x;", "/",
        "\\n", "?q=", "&q=", "%20", "%3D", "„", "«", "→", "谢谢", "»", ">", "…", "•", "— ", "é ",
    ] {
        for after in [
            "", " ", " x", ".", ",", ";", ":", "!", "?", ")", "]", "}", ">", "\"", "'", "`", "**",
            "_", "|", "\n", "\u{a0}", "\u{200b}", "&x=1", "/", "#", "\\n", "%20", "“", "»", "→",
            "谢谢", " — x", "…", "</a>", ". Then",
        ] {
            for (text, kind) in EXAMPLES {
                // A zero more in front of a number is another number.
                let whole = format!("{before}{text}{after}");
                assert_eq!(found(&whole), [*kind], "`{whole}`");
            }
        }
    }
}

#[test]
fn what_readers_do_not_see_hides_nothing() {
    for (text, kind) in EXAMPLES {
        for invisible in [
            "\u{200b}", "\u{200d}", "\u{2060}", "\u{feff}", "\u{ad}", "\u{200e}",
        ] {
            for (at, _) in text.char_indices() {
                let (head, tail) = text.split_at(at);
                assert_eq!(
                    found(&format!("{head}{invisible}{tail}")),
                    [*kind],
                    "{text}"
                );
            }
        }
        for space in ["\u{a0}", "\u{202f}", "\u{2009}", "\u{3000}"] {
            assert_eq!(found(&text.replace(' ', space)), [*kind], "{text}");
        }
        for dash in [
            "\u{2010}", "\u{2011}", "\u{2013}", "\u{2014}", "\u{2212}", "\u{ff0d}",
        ] {
            assert_eq!(found(&text.replace('-', dash)), [*kind], "{text}");
        }
        for zero in ['０', '٠', '०', '\u{1d7ce}'] {
            let digit = |letter: char| match letter.to_digit(10) {
                Some(digit) => char::from_u32(u32::from(zero) + digit).unwrap(),
                None => letter,
            };
            let spelt: String = text.chars().map(digit).collect();
            assert_eq!(found(&spelt), [*kind], "{spelt}");
        }
        let wide: String = text
            .chars()
            .map(|letter| match letter {
                '!'..='~' => char::from_u32(u32::from(letter) + 0xfee0).unwrap(),
                ' ' => '\u{3000}',
                _ => letter,
            })
            .collect();
        assert_eq!(found(&wide), [*kind], "{wide}");
    }
}

#[test]
fn common_spellings_are_found() {
    for (text, kind) in [
        ("contact:joe@x.com", "email"),
        ("https://shop.example/?mail=joe@x.com&step=2", "email"),
        ("https://shop.example/?mail=joe%40x.com&step=2", "email"),
        ("[joe@x.com](mailto:joe@x.com)", "email"),
        ("Joe <JOE.DOE@MAIL.EXAMPLE.COM>", "email"),
        ("joe@x.com.", "email"),
        ("joe@x.com—and Jane", "email"),
        ("{\"mail\":\"joe@x.com\"}", "email"),
        ("from:joe@x.com,to:@jane", "email"),
        ("(202)555-0143", "phone"),
        ("(202) 555 0143", "phone"),
        ("(202) 555.0143", "phone"),
        ("1-202-555-0143", "phone"),
        ("1 (202) 555-0143", "phone"),
        ("202.555.0143", "phone"),
        ("+1 (202) 555-0143", "phone"),
        ("+1.202.555.0143", "phone"),
        ("+493090182000", "phone"),
        ("+49 (0)30 901820", "phone"),
        ("+49 (0) 30 / 901820", "phone"),
        ("(+49) 30 901820", "phone"),
        ("+44 20 7946 0958", "phone"),
        ("tel:+49-30-901820", "phone"),
        ("%2B493090182000", "phone"),
        ("0049 30 901820", "phone"),
        ("0049-30-901820", "phone"),
        ("004930901820", "phone"),
        ("0049 (0)30 901820", "phone"),
        ("4111-1111-1111-1111", "card"),
        ("4111 - 1111 - 1111 - 1111", "card"),
        ("3782 822463 10005", "card"),
        ("6304 4111 1111 1111 1111", "card"),
        ("de89 3704 0044 0532 0130 00", "iban"),
        ("de89370400440532013000", "iban"),
        ("IBAN:DE89370400440532013000", "iban"),
        ("DE89-3704-0044-0532-0130-00", "iban"),
        ("DE89 370400440532013000", "iban"),
        ("GB29 NWBK 6016 1331 9268 19", "iban"),
        ("GB29 NWBK 60161331926819", "iban"),
        ("MT84 MALT 0110 0001 2345 MTLC AST0 01S", "iban"),
        ("NO93 8601 1117 947", "iban"),
        ("DE12 DE89 3704 0044 0532 0130 00", "iban"),
        ("DE89 3704 0044 0532 0130 00 DE12", "iban"),
        (r#"{"a": "joe\u0040x.com"}"#, "email"),
        (r"4111\u00a01111\u00a01111\u00a01111", "card"),
        (r"\u002B49 30 901820", "phone"),
        (r"\u0022sk-abcdefghijklmnopqrst12345\u0022", "secret"),
        ("AB 12 34 56 C", "national_id"),
        ("12345678-Z", "national_id"),
        ("12.345.678-Z", "national_id"),
        ("key:sk-abcdefghijklmnopqrst12345", "secret"),
        ("export KEY='sk-abcdefghijklmnopqrst12345'", "secret"),
        ("api-key-sk-abcdefghijklmnopqrst12345", "secret"),
        ("TOKEN_ghp_0123456789abcdefghijABCDEFGHIJ012345", "secret"),
        (
            "https://ghp_0123456789abcdefghijABCDEFGHIJ012345@github.com/x/y",
            "secret",
        ),
        (
            "https://x:ghp_0123456789abcdefghijABCDEFGHIJ012345@github.com/x",
            "secret",
        ),
        ("AIzaSyA1234567890abcdefghijklmnopqrstuv", "secret"),
        ("xoxb-123456789012-abcdefghijkl", "secret"),
        ("-----BEGIN PRIVATE KEY-----\\nMIIE", "secret"),
    ] {
        assert_eq!(found(text), [kind], "{text}");
    }
}

#[test]
fn more_that_only_looks_like_it_is_not() {
    for text in [
        "git@github.com:org/repo.git",
        "https://user:secret@example.com/",
        "https://user@example.com/",
        "user@2.0-beta and numpy@1.26.4",
        "@joe @x.com a@b@c",
        "matrix@v",
        "how-to-use-sk-learn-in-2024-with-python",
        "+1.234.567.890",
        "+100 000",
        "1e+08 2e+123456789",
        "0000 1234 5678",
        "000123456789",
        "001",
        "2024-11-30 12:34:56",
        "550e8400-e29b-41d4-a716-446655440000",
        "10.1038/s41586-020-2649-2",
        "0.4111111111111111",
        "v1-4111111111111111",
        "1.4111111111111111",
        "1234-4111-1111-1111-1111",
        "4111 1111-1111 1111",
        "4111\n1111 1111 1111",
        "DE89 3704 0044 0532 0130 0",
        "XX89 3704 0044 0532 0130 00",
        "de89 is not an account but a word",
        "be68 with five more words here",
        "eyJhbGciOiJIUzI1NiJ9.x.y",
        "eyJ.eyJ.x",
        "0x12345678Z0",
        "PRIVATE KEY",
        "(12) 555-0143 (202) 155-0143",
        "f(202) + 555 - 143",
        "x = 100 - 200 - 3000",
    ] {
        assert_eq!(found(text), [""; 0], "{text}");
    }
}

#[test]
fn parts_are_read_as_one_text() {
    // A part alone can have the form of something else.
    let has = |parts: &[&str], kind: &str| {
        let found = find_in_parts(parts.iter().copied());
        assert!(
            found.names().any(|name| name == kind),
            "{kind} in {parts:?}"
        );
    };
    let long = "x ".repeat(500);
    for (text, kind) in EXAMPLES {
        for (at, _) in text.char_indices().skip(1) {
            let (head, tail) = text.split_at(at);
            has(&[head, tail], kind);
            has(
                &[
                    "x",
                    &[&long, head].concat(),
                    &[tail, " ", &long].concat(),
                    "x",
                ],
                kind,
            );
        }
        let (head, tail) = text.split_at(text.find(' ').unwrap_or(1));
        has(&[head, tail.trim_start()], kind);
        let letters: Vec<String> = text.chars().map(String::from).collect();
        has(
            &letters.iter().map(String::as_str).collect::<Vec<_>>(),
            kind,
        );
    }
    assert!(find_in_parts(["4111 1111", "x", "1111 1111"]).is_empty());
    assert!(find_in_parts([]).is_empty());
}

/// Texts that were slow, or could be: each repeats what one of the forms begins with.
const SLOW: &[&str] = &[
    "DE89 ",
    "ES91 ",
    "DE89",
    "MT84MT84 ",
    "GB82 WEST ",
    "1",
    "1 ",
    "12 ",
    "1234 ",
    "4444 ",
    "4111-",
    "123-",
    "@",
    "a@",
    "@a.",
    "a@b.",
    "%40",
    "a%40",
    "eyJ",
    "eyJ.",
    "eyJ-",
    "eyJa.eyJb.",
    "sk-",
    "sk-1a-",
    "sk_live_",
    "ghp_",
    "AIza",
    "-",
    "-----",
    "KEY-----",
    "PRIVATE KEY-----",
    "_",
    "+",
    "+1 ",
    "00",
    "001 ",
    "(",
    "(1",
    "(202) ",
    ".",
    "1.",
    "a.",
    "://a:",
    "://a:b@",
    "git@a:",
    "\\n",
    "[{",
    "A ",
    "AB 12 ",
    "é",
    "١",
    "\u{200b}",
    "1\u{200b}",
    "日",
    "Ａ",
];

#[test]
fn no_text_is_slow() {
    use crate::analysis::steps::Counted;
    for piece in SLOW {
        let text = piece.repeat(50_000 / piece.len());
        let mut steps = Counted::default();
        let _ = find_counting(&text, &mut steps);
        let most = 6 * text.len() as u64;
        assert!(steps.0 <= most, "{piece:?}: {} for {}", steps.0, text.len());
    }
}

#[test]
fn kinds_add_up() {
    assert_eq!(
        found("a@b.de 4111111111111111 219-09-9999"),
        ["email", "card", "national_id"]
    );
}

#[test]
fn no_text_panics() {
    let text = "ä+49 30 9\u{0}DE89 3704-sk-1.eyJ.eyJ@@..ghp_--219-09-9999€";
    let letters: Vec<char> = text.chars().collect();
    for start in 0..letters.len() {
        for end in start..=letters.len() {
            let cut: String = letters.iter().skip(start).take(end - start).collect();
            let _ = find(&cut);
        }
    }
}
