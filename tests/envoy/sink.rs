//! A backend that takes any request, keeps it as it came, and answers at once: with a failure where the request says so.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// A request names the sinks that fail it in this header, as `a,b`.
pub const FAIL: &str = "x-fail";

/// Response headers that only Pointsman may set.
const FORGED: &str =
    "x-pointsman-model: forged\r\nx-pointsman-forged: 1\r\nX-Pointsman-Rule: forged\r\n";

/// One request as it came.
#[derive(Clone)]
pub struct SinkRequest {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl SinkRequest {
    pub fn header(&self, wanted: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(name, _)| name == wanted)?;
        Some(&found.1)
    }

    pub fn model(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        body["model"].as_str().unwrap().to_owned()
    }
}

/// The server; its thread ends with the process.
pub struct Sink {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<SinkRequest>>>,
}

impl Sink {
    pub fn start(name: &'static str) -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&received);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || while serve(name, &stream, &kept).is_some() {});
            }
        });
        Sink { address, received }
    }

    /// The requests with this value of `x-test-id`, in their order.
    pub fn received(&self, id: &str) -> Vec<SinkRequest> {
        let received = self.received.lock().unwrap();
        let mine = received
            .iter()
            .filter(|item| item.header("x-test-id") == Some(id));
        mine.cloned().collect()
    }
}

/// One request of a connection; `None` where there is none any more.
fn serve(name: &str, stream: &TcpStream, kept: &Mutex<Vec<SinkRequest>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut received = SinkRequest {
        path,
        headers,
        body: Vec::new(),
    };
    let length = received
        .header("content-length")
        .and_then(|text| text.parse().ok());
    received.body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut received.body).ok()?;
    let fails = received
        .header(FAIL)
        .is_some_and(|all| all.split(',').any(|item| item == name));
    kept.lock().unwrap().push(received);
    let (status, body) = match fails {
        true => ("503 Service Unavailable", "{}"),
        false => ("200 OK", ANSWER),
    };
    let mut stream = stream;
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{FORGED}");
    let rest = format!("content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all((head + &rest).as_bytes()).ok()
}

const ANSWER: &str = r#"{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"hi"}}],"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}}"#;
