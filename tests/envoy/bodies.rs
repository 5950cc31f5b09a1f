//! Bodies in every shape that HTTP allows, and in some that it does not.

use pointsman_harness::http1::{Pieces, Request, exchange};
use pointsman_harness::http2;

use crate::Test;
use crate::world::{CHAT, Case, ask, padded};

pub const TESTS: &[Test] = &[
    ("bodies::one_chunk", one_chunk),
    ("bodies::many_chunks", many_chunks),
    ("bodies::http2_with_trailers", http2_with_trailers),
    ("bodies::http2_without_trailers", http2_without_trailers),
    ("bodies::empty", empty),
    ("bodies::over_the_held_limit", over_the_held_limit),
    (
        "bodies::model_behind_the_first_part",
        model_behind_the_first_part,
    ),
    ("bodies::not_a_request", not_a_request),
    (
        "bodies::upstream_connections_stay_clean",
        upstream_connections_stay_clean,
    ),
    ("bodies::client_leaves_early", client_leaves_early),
];

/// The served name of `gpu` is longer than what was asked for, that of `lpu` too; `cpu`'s is the same.
const SERVED: [(&str, &str, &str); 4] = [
    ("llama-3.1-70b", "gpu", "meta-llama/Llama-3.1-70B-Instruct"),
    ("llama-3.1-8b", "lpu", "llama-3.1-8b-instant"),
    ("llama-3.2-1b", "cpu", "llama-3.2-1b"),
    ("gpt-4o", "serverless", "gpt-4o"),
];

fn one_chunk(case: &Case) {
    for (asked, backend, served) in SERVED {
        let body = ask(asked, "What is the capital of France?");
        let done = case.chat(&body);
        assert_eq!(done.reported("model"), Some(asked));
        assert_eq!(done.reported("backend"), Some(backend));
        assert_eq!(done.reported("reason"), Some("pinned"));
        if asked == served {
            done.assert_untouched(backend, &body);
        } else {
            done.assert_rewritten(backend, &body, asked, served);
        }
    }
}

fn many_chunks(case: &Case) {
    let body = ask(
        "llama-3.1-8b",
        "Translate \u{201e}Guten Morgen\u{201c} \u{1f600} into English, please",
    );
    for pieces in [
        Pieces::Of(7),
        Pieces::Of(1_000),
        Pieces::Chunked(5),
        Pieces::Chunked(40),
        Pieces::Chunked(10_000),
    ] {
        let done = case.send(Request::post(CHAT, &body).pieces(pieces));
        done.assert_rewritten("lpu", &body, "llama-3.1-8b", "llama-3.1-8b-instant");
    }
}

fn http2_with_trailers(case: &Case) {
    let body = ask(
        "llama-3.1-70b",
        "Prove that the square root of two is irrational.",
    );
    let (head, tail) = body.split_at(20);
    for pieces in [vec![&body[..]], vec![head, tail]] {
        let id = case.id();
        let headers: [(&str, &[u8]); 2] = [
            ("x-test-id", id.as_bytes()),
            ("content-type", b"application/json"),
        ];
        let response = http2::exchange(
            case.address(),
            ("POST", CHAT),
            &headers,
            &pieces,
            &[("x-checksum", "abc")],
        );
        let done = case.exchange(&id, response.unwrap());
        done.assert_rewritten(
            "gpu",
            &body,
            "llama-3.1-70b",
            "meta-llama/Llama-3.1-70B-Instruct",
        );
    }
}

fn http2_without_trailers(case: &Case) {
    let body = ask("llama-3.1-70b", "hello");
    let length = body.len().to_string();
    let pieces: Vec<&[u8]> = body.chunks(9).collect();
    for with_length in [true, false] {
        let id = case.id();
        let mut headers: Vec<(&str, &[u8])> = vec![("x-test-id", id.as_bytes())];
        if with_length {
            headers.push(("content-length", length.as_bytes()));
        }
        let response = http2::exchange(case.address(), ("POST", CHAT), &headers, &pieces, &[]);
        let done = case.exchange(&id, response.unwrap());
        done.assert_rewritten(
            "gpu",
            &body,
            "llama-3.1-70b",
            "meta-llama/Llama-3.1-70B-Instruct",
        );
    }
}

fn empty(case: &Case) {
    for pieces in [Pieces::One, Pieces::Chunked(1)] {
        let done = case.send(Request::post(CHAT, b"").pieces(pieces));
        done.assert_untouched("gpu", b"");
        assert_eq!(done.reported("reason"), Some("bypass_invalid_request"));
        assert_eq!(done.status(), 400, "the backend's own answer");
    }
    let id = case.id();
    let response = http2::exchange(
        case.address(),
        ("POST", CHAT),
        &[("x-test-id", id.as_bytes())],
        &[],
        &[],
    );
    case.exchange(&id, response.unwrap())
        .assert_untouched("gpu", b"");
}

/// Past `max_body_bytes` (1 MiB) the first part decides and the rest streams through, past what Envoy itself would hold (8 MiB) too.
fn over_the_held_limit(case: &Case) {
    for (bytes, pieces) in [
        (3 << 20, Pieces::One),
        (3 << 20, Pieces::Chunked(700_000)),
        (9 << 20, Pieces::One),
    ] {
        let body = padded("llama-3.1-8b", bytes);
        let done = case.send(Request::post(CHAT, &body).pieces(pieces));
        done.assert_rewritten("lpu", &body, "llama-3.1-8b", "llama-3.1-8b-instant");
    }
}

/// A body whose `model` stands last, behind more than is read as a whole (1 MiB) and less than Envoy holds (8 MiB).
fn model_behind_the_first_part(case: &Case) {
    for (bytes, pieces) in [
        (1_100_000, Pieces::One),
        (3 << 20, Pieces::One),
        (3 << 20, Pieces::Chunked(700_000)),
        (1_100_000, Pieces::Chunked(65_536)),
        (7 << 20, Pieces::One),
    ] {
        for (asked, backend, served) in SERVED {
            // Not one letter repeated: a piece in the wrong place must show.
            let digits: String = (0..bytes / 8).map(|at| format!("{at:08}")).collect();
            let body = format!(
                r#"{{"max_tokens":64,"messages":[{{"role":"user","content":"hi"}}],"padding":"{digits}","model":"{asked}","stream":false}}"#
            );
            let request = Request::post(CHAT, body.as_bytes()).pieces(pieces);
            let done = case.send(request);
            match asked == served {
                true => done.assert_untouched(backend, body.as_bytes()),
                false => done.assert_rewritten(backend, body.as_bytes(), asked, served),
            }
        }
    }
}

fn not_a_request(case: &Case) {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies: [&[u8]; 5] = [
        b"{\"model\":\"llama-3.1-8b\",\"messages\":[",
        b"not json",
        b"[]",
        b"\"text\"",
        deep.as_bytes(),
    ];
    for body in bodies {
        let done = case.chat(body);
        assert_eq!(
            done.reported("reason"),
            Some("bypass_invalid_request"),
            "{body:.40?}"
        );
        done.assert_untouched("gpu", body);
        assert!(
            [400, 404].contains(&done.status()),
            "the backend's own answer"
        );
    }
    // The model of these bodies cannot be read: it may be a profile, which must not leave.
    let unseen: [&[u8]; 2] = [
        b"\x00\x01\xff\xfe\x80binary\r\n\r\nGET / HTTP/1.1",
        b"{\"model\":\"auto\",\"messages\":[",
    ];
    for body in unseen {
        let done = case.chat(body);
        assert_eq!(done.reported("reason"), Some("invalid_json"), "{body:.40?}");
        assert_eq!(done.status(), 400);
        assert!(done.received.is_empty());
    }
}

/// A wrong `content-length` would turn the surplus into the next request on the same upstream connection.
fn upstream_connections_stay_clean(case: &Case) {
    for round in 0..20 {
        let body = ask("llama-3.1-70b", &"x".repeat(round * 37));
        let done = case.chat(&body);
        done.assert_rewritten(
            "gpu",
            &body,
            "llama-3.1-70b",
            "meta-llama/Llama-3.1-70B-Instruct",
        );
    }
}

/// A client that goes while its body is held leaves the others alone.
fn client_leaves_early(case: &Case) {
    use std::io::Write as _;
    for _ in 0..4 {
        let mut stream = std::net::TcpStream::connect(case.address()).unwrap();
        let head =
            format!("POST {CHAT} HTTP/1.1\r\nhost: test\r\ncontent-length: 500\r\n\r\n{{\"mod");
        stream.write_all(head.as_bytes()).unwrap();
    }
    // Not HTTP at all.
    let garbage = exchange(case.address(), b"\x16\x03\x01 hello\r\n\r\n");
    assert!(garbage.is_err() || garbage.is_ok_and(|response| response.status == 400));
    let body = ask("llama-3.1-8b", "still there?");
    case.chat(&body)
        .assert_rewritten("lpu", &body, "llama-3.1-8b", "llama-3.1-8b-instant");
}
