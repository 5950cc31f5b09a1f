//! Rows good and bad, and files plain, zipped, cut and empty.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::Write;

use super::*;

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn zip(text: &str) -> Vec<u8> {
    let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    zip.write_all(text.as_bytes()).unwrap();
    zip.finish().unwrap()
}

fn prompts(bytes: &[u8], most: Option<usize>) -> (Vec<String>, Vec<BadLine>) {
    let file = file(bytes);
    let contents = read(file.path(), most, || |row: Row| row.prompt).unwrap();
    (contents.rows, contents.bad)
}

#[test]
fn plain_and_zipped_files_are_read_in_order() {
    let text: String = (0..500)
        .map(|at| format!("{{\"prompt\": \"{at}\"}}\n\n"))
        .collect();
    let wanted: Vec<String> = (0..500).map(|at| at.to_string()).collect();
    assert_eq!(prompts(text.as_bytes(), None), (wanted.clone(), vec![]));
    assert_eq!(prompts(&zip(&text), None), (wanted.clone(), vec![]));
    let both = [zip(&text), zip(&text)].concat();
    assert_eq!(prompts(&both, None).0.len(), 1000);
    assert_eq!(prompts(text.as_bytes(), Some(3)).0, wanted[..3]);
}

#[test]
fn an_empty_file_has_no_rows() {
    assert_eq!(prompts(b"", None), (vec![], vec![]));
    assert_eq!(prompts(b"\n \n", None), (vec![], vec![]));
}

#[test]
fn bad_lines_are_named_and_the_rest_is_read() {
    let text = b"{\"prompt\": \"a\"}\nnonsense\n\n[]\n{}\n{\"prompt\": 1}\n{\"prompt\": \"\xff\"}\n{\"prompt\": \"b\"}";
    let (rows, bad) = prompts(text, None);
    assert_eq!(rows, ["a", "b"]);
    let found: Vec<(usize, &str)> = bad
        .iter()
        .map(|bad| (bad.line, bad.message.as_str()))
        .collect();
    assert_eq!(found[0].0, 2);
    assert!(found[0].1.starts_with("not JSON: expected"), "{found:?}");
    assert_eq!(
        found[1..4],
        [
            (4, "is not a JSON object"),
            (5, "has no `prompt`"),
            (6, "`prompt` is not a string")
        ]
    );
    assert_eq!(found[4].0, 7);
    assert_eq!(found.len(), 5);
}

#[test]
fn a_truncated_zip_gives_its_first_rows() {
    let text: String = (0..5000)
        .map(|at| format!("{{\"prompt\": \"{}\"}}\n", at * 7919 % 10_007))
        .collect();
    let whole = zip(&text);
    let (rows, bad) = prompts(&whole[..whole.len() / 2], None);
    assert!(!rows.is_empty() && rows.len() < 5000);
    assert_eq!(bad.len(), 1);
    assert!(
        bad[0].message.starts_with("cannot be read further"),
        "{bad:?}"
    );
}

#[test]
fn a_missing_file_is_an_error() {
    let error = read(Path::new("no/such/file"), None, || |_: Row| ()).unwrap_err();
    assert!(error.to_string().starts_with("cannot read `no/such/file`"));
}

fn parse(line: &str) -> Result<Row, String> {
    Row::parse(line.as_bytes())
}

#[test]
fn outcomes_may_be_numbers_or_objects_and_null_is_none() {
    let row = parse(
        r#"{"prompt": "p", "task_type": "t", "models": {"b": 0.5, "a": {"score": true, "cost": 0.1}, "c": null, "d": {"cost": 1},
        "e": {"score": 0, "input_tokens": 3, "output_tokens": 4, "price_per_m": [1, 2]}}}"#,
    )
    .unwrap();
    let names: Vec<&str> = row.outcomes.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a", "b", "e"]);
    assert_eq!(
        (row.outcomes[0].1.score, row.outcomes[0].1.cost),
        (1.0, Some(0.1))
    );
    assert_eq!(row.outcomes[2].1.price, Some([1.0, 2.0]));
    assert_eq!(row.task, "t");
}

#[test]
fn impossible_outcomes_are_named() {
    for (models, message) in [
        (
            r#"{"a": {"score": 1.5}}"#,
            "`models.a`: `score` is 1.5, not 0 to 1",
        ),
        (
            r#"{"a": {"score": "1"}}"#,
            "`models.a`: `score` is not a number",
        ),
        (
            r#"{"a": {"score": 1, "cost": -1}}"#,
            "`models.a`: `cost` is -1: less than 0",
        ),
        (r#"[1]"#, "`models` is not an object"),
    ] {
        let line = format!(r#"{{"prompt": "p", "models": {models}}}"#);
        assert_eq!(parse(&line).unwrap_err(), message);
    }
}

#[test]
fn preferences_name_two_models_and_the_better() {
    let first = |rest: &str| {
        let line = format!(r#"{{"prompt": "p", "preference": {{"between": ["a", "b"]{rest}}}}}"#);
        parse(&line).map(|row| row.preference.unwrap().first)
    };
    assert_eq!(first(r#", "winner": "a""#), Ok(1.0));
    assert_eq!(first(r#", "winner": "b""#), Ok(0.0));
    assert_eq!(first(r#", "winner": "tie""#), Ok(0.5));
    assert_eq!(first(""), Ok(0.5));
    assert!(
        first(r#", "winner": "c""#)
            .unwrap_err()
            .contains("neither `a` nor `b`")
    );
}
