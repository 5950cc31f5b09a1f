//! Published test numbers are found, near misses are not.

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
