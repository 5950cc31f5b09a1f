//! Confidentiality between client, Envoy, filter and backend: backends outside see nothing of the client's way
//! here, none speaks for the router, and bodies are read whatever they are packed in.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

use pointsman_harness::closed_port::ClosedPort;
use pointsman_harness::http1::Request;
use serde_json::{Value, json};

use crate::Test;
use crate::failover::{model, ways};
use crate::timers::render;
use crate::world::{CHAT, Case, ask};

pub const TESTS: &[Test] = &[
    (
        "sealed::nothing_is_forged_or_disclosed",
        nothing_is_forged_or_disclosed,
    ),
    (
        "sealed::compressed_bodies_are_read",
        compressed_bodies_are_read,
    ),
    ("sealed::a_bomb_is_held_off", a_bomb_is_held_off),
    ("sealed::paths_are_one", paths_are_one),
];

/// A backend that answers everything and pretends to be the router; what it was sent, head and body.
fn forger() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    const BODY: &str = r#"{"id":"x","object":"chat.completion","created":0,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&requests);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let kept = Arc::clone(&kept);
            thread::spawn(move || {
                let mut bytes = Vec::new();
                let mut piece = [0; 65_536];
                while let Ok(size) = stream.read(&mut piece) {
                    bytes.extend_from_slice(&piece[..size]);
                    if size == 0 || is_whole(&bytes) {
                        break;
                    }
                }
                let text = String::from_utf8_lossy(&bytes).into_owned();
                kept.lock().unwrap().push(text);
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\nx-pointsman-quality: 1\r\n\
                     x-pointsman-steering: forged\r\nx-pointsman-anything: forged\r\ncontent-length: {}\r\n\r\n",
                    BODY.len()
                );
                let _ = stream.write_all([&head, BODY].concat().as_bytes());
            });
        }
    });
    (address, requests)
}

/// Whether a request has come to its end: by its length, or by the last chunk.
fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    match length.and_then(|text| text.trim().parse::<usize>().ok()) {
        Some(length) => body.len() >= length,
        None => !head.contains("transfer-encoding: chunked") || text.ends_with("0\r\n\r\n"),
    }
}

fn policy(addresses: &[SocketAddr]) -> Value {
    let backends = addresses.iter().enumerate().map(|(index, address)| {
        json!({"name": format!("b{index}"), "model": "m", "endpoint": format!("http://{address}"),
               "price": {"input": index + 1, "output": index + 1}})
    });
    json!({
        "models": [model("m", 0.6)], "decision_headers": "minimal", "on_undecided": "reject",
        "backends": backends.collect::<Vec<_>>(),
    })
}

fn nothing_is_forged_or_disclosed(case: &Case) {
    for way in ways(case).iter().chain(&["off"]) {
        let (address, requests) = forger();
        // A backend that nobody reaches is tried first, so that a second attempt is seen too.
        let dead = ClosedPort::new().unwrap();
        let mut policy = policy(&match *way {
            "off" => vec![address],
            _ => vec![dead.address().unwrap(), address],
        });
        // Somebody else's: never asked, but it makes the fleet one that has strangers.
        let stranger = json!({
            "name": "outside", "model": "m", "endpoint": "https://localhost:1", "price": {"input": 99, "output": 99},
        });
        policy["backends"].as_array_mut().unwrap().push(stranger);
        let envoy = case.start(&render(case, &policy, way, &[]));
        let body = ask("m", "hi");
        let response = Request::post(CHAT, &body)
            .header("x-forwarded-for", b"203.0.113.7")
            .header("x-envoy-max-retries", b"9")
            .header("x-pointsman-chain", b"forged")
            .send(envoy.address())
            .unwrap();
        assert_eq!(response.status, 200, "{way}: {}", response.text());
        for name in ["quality", "steering", "anything"] {
            let forged = response.header(&format!("x-pointsman-{name}"));
            // Without failover there is no filter before a backend: names that nobody knows pass.
            if *way != "off" || name != "anything" {
                assert_eq!(forged, None, "{way}: {name}");
            }
        }
        let requests = requests.lock().unwrap();
        let head = requests[0].split("\r\n\r\n").next().unwrap().to_lowercase();
        for hidden in ["x-pointsman-", "x-envoy-", "x-forwarded-for", "203.0.113.7"] {
            assert!(!head.contains(hidden), "{way}: {head}");
        }
    }
}

/// The body as these encodings write it: gzip by its library, the other two as stored blocks.
fn packed(body: &[u8]) -> [(&'static str, Vec<u8>); 3] {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(body).unwrap();
    let size = body.len() as u32;
    assert!(size < 256);
    let brotli = [
        &(((size - 1) << 4) | 1 << 20).to_le_bytes()[..3],
        body,
        &[3],
    ]
    .concat();
    let block = ((size << 3) | 1).to_le_bytes();
    let zstd = [
        &[0x28, 0xb5, 0x2f, 0xfd, 0x20, size as u8][..],
        &block[..3],
        body,
    ]
    .concat();
    [
        ("gzip", gzip.finish().unwrap()),
        ("br", brotli),
        ("zstd", zstd),
    ]
}

fn compressed_bodies_are_read(case: &Case) {
    let (address, requests) = forger();
    let envoy = case.start(&render(case, &policy(&[address]), "aggregate", &[]));
    let body = ask("auto", "hi");
    for (encoding, bytes) in packed(&body) {
        let response = Request::post(CHAT, &bytes)
            .header("content-encoding", encoding.as_bytes())
            .send(envoy.address())
            .unwrap();
        assert_eq!(response.status, 200, "{encoding}: {}", response.text());
        assert_eq!(
            response.header("x-pointsman-model"),
            Some("m"),
            "{encoding}"
        );
        let requests = requests.lock().unwrap();
        let last = requests.last().unwrap();
        assert!(last.contains(r#""model":"m""#), "{encoding}: {last}");
        assert!(!last.contains("content-encoding"), "{encoding}: {last}");
    }
}

/// A small body that unfolds to a gigabyte costs Envoy neither its life nor its memory.
fn a_bomb_is_held_off(case: &Case) {
    let (address, _) = forger();
    let envoy = case.start(&render(case, &policy(&[address]), "aggregate", &[]));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(br#"{"model":"auto","messages":[{"role":"user","content":""#)
        .unwrap();
    let zeros = vec![b'a'; 1 << 20];
    for _ in 0..256 {
        gzip.write_all(&zeros).unwrap();
    }
    gzip.write_all(br#""}]}"#).unwrap();
    let bomb = gzip.finish().unwrap();
    assert!(bomb.len() < 1 << 19, "{}", bomb.len());
    let response = Request::post(CHAT, &bomb)
        .header("content-encoding", b"gzip")
        .send(envoy.address());
    let status = response.map(|response| response.status);
    eprintln!("a bomb of {} bytes: {status:?}", bomb.len());
    let memory = envoy.stat("server.memory_allocated");
    eprintln!("allocated: {memory}");
    assert!(memory < 400 << 20, "{memory}");
    let response = Request::post(CHAT, &ask("m", "hi"))
        .send(envoy.address())
        .unwrap();
    assert_eq!(response.status, 200);
}

/// A path is one path, whatever it is spelt like.
fn paths_are_one(case: &Case) {
    let (address, requests) = forger();
    let envoy = case.start(&render(case, &policy(&[address]), "aggregate", &[]));
    for path in [
        "//v1//chat/completions",
        "/v1/chat%2Fcompletions",
        "/v1/./chat/x/../completions",
        "/v1/%63hat/completions",
    ] {
        let body = ask("auto", "hi");
        let response = Request::post(path, &body).send(envoy.address()).unwrap();
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        assert_eq!(response.header("x-pointsman-model"), Some("m"), "{path}");
        let requests = requests.lock().unwrap();
        let last = requests.last().unwrap();
        assert!(last.starts_with("POST /v1/chat/completions HTTP"), "{last}");
    }
}
