//! A judge that does what it is told: grades prompts in OpenAI's chat dialect, or fails in one of the ways in which servers fail.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::acceptor::Acceptor;

/// How the judge answers a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// A grade from 0 (hardest) to 9 (easiest), with probabilities: nearly sure of it.
    Grade(u8),
    /// A text in place of a grade, without probabilities.
    Text(String),
    /// This status and this body.
    Raw(u16, Vec<u8>),
    /// The grade, byte by byte, with this pause between two bytes.
    Slowly(u8, Duration),
    /// The grade after a while.
    Late(u8, Duration),
    /// The connection is closed at once.
    HangUp,
    /// Nothing, for longer than anybody waits.
    Silence,
}

/// A question as it arrived.
#[derive(Debug, Clone)]
pub struct Question {
    /// Request line and headers.
    pub head: String,
    /// The body; `null` if it is not JSON.
    pub body: Value,
}

impl Question {
    /// The text that is to be graded: the last message's.
    pub fn material(&self) -> &str {
        let messages = self.body.get("messages").and_then(Value::as_array);
        let last = messages.and_then(|messages| messages.last());
        let content = last.and_then(|message| message.get("content")?.as_str());
        content.unwrap_or_default()
    }
}

/// Subjects of prompts about which a judge may be asked, for tests and measurements.
pub const SUBJECTS: [&str; 8] = [
    "the French revolution",
    "the plague",
    "the industrial revolution",
    "inflation",
    "earthquakes",
    "the tides",
    "migration",
    "the fall of Rome",
];

type Answering = dyn Fn(&Question) -> Behaviour + Send + Sync;

struct State {
    behaviour: Arc<Answering>,
    asked: Vec<Question>,
}

/// A running judge; dropping it ends it.
pub struct Judge {
    acceptor: Acceptor,
    state: Arc<Mutex<State>>,
}

impl Judge {
    /// Starts one on a port of the operating system's choice.
    ///
    /// # Errors
    /// If none is free.
    pub fn start(behaviour: Behaviour) -> std::io::Result<Judge> {
        Judge::start_with(move |_| behaviour.clone())
    }

    /// Starts one that looks at each question.
    ///
    /// # Errors
    /// If no port is free.
    pub fn start_with(
        behaviour: impl Fn(&Question) -> Behaviour + Send + Sync + 'static,
    ) -> std::io::Result<Judge> {
        let state = Arc::new(Mutex::new(State {
            behaviour: Arc::new(behaviour),
            asked: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        let acceptor = Acceptor::start(move |stream| answer(stream, &shared))?;
        Ok(Judge { acceptor, state })
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.acceptor.address()
    }

    /// Does this from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        lock(&self.state).behaviour = Arc::new(move |_| behaviour.clone());
    }

    /// All questions so far.
    pub fn asked(&self) -> Vec<Question> {
        lock(&self.state).asked.clone()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers all questions of one connection.
fn answer(stream: &TcpStream, shared: &Mutex<State>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(question) = read(&mut reader)? {
        let behaviour = {
            let mut state = lock(shared);
            state.asked.push(question.clone());
            Arc::clone(&state.behaviour)
        };
        if !write(stream, &behaviour(&question))? {
            break;
        }
    }
    Ok(())
}

/// The next question; `None` at the end of the connection.
fn read(reader: &mut BufReader<&TcpStream>) -> std::io::Result<Option<Question>> {
    let mut head = String::new();
    while reader.read_line(&mut head)? > 2 {}
    if head.is_empty() {
        return Ok(None);
    }
    let mut lines = head.lines();
    let length = lines.find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = serde_json::from_slice(&body).unwrap_or_default();
    Ok(Some(Question { head, body }))
}

/// Writes the answer; whether the connection stays.
fn write(stream: &TcpStream, behaviour: &Behaviour) -> std::io::Result<bool> {
    match behaviour {
        Behaviour::Grade(grade) => send(stream, 200, &graded(*grade), None)?,
        Behaviour::Late(grade, delay) => {
            sleep(*delay);
            send(stream, 200, &graded(*grade), None)?;
        }
        Behaviour::Slowly(grade, pause) => send(stream, 200, &graded(*grade), Some(*pause))?,
        Behaviour::Text(text) => send(stream, 200, &reply(text, &Value::Null), None)?,
        Behaviour::Raw(status, body) => send(stream, *status, body, None)?,
        Behaviour::HangUp => return Ok(false),
        Behaviour::Silence => {
            sleep(Duration::from_secs(3));
            return Ok(false);
        }
    }
    Ok(true)
}

fn send(
    mut stream: &TcpStream,
    status: u16,
    body: &[u8],
    pause: Option<Duration>,
) -> std::io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Told\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let Some(pause) = pause else {
        return stream.write_all(body);
    };
    for byte in body {
        sleep(pause);
        stream.write_all(&[*byte])?;
    }
    Ok(())
}

/// The reply with a grade and its probabilities: 0.9 on it, the rest on its neighbours.
pub fn graded(grade: u8) -> Vec<u8> {
    let mut grades = vec![(grade, 0.9)];
    let neighbours: Vec<u8> = [grade.checked_sub(1), grade.checked_add(1)]
        .into_iter()
        .flatten()
        .filter(|neighbour| *neighbour <= 9)
        .collect();
    let share = 0.1 / neighbours.len() as f64;
    grades.extend(neighbours.iter().map(|neighbour| (*neighbour, share)));
    let top: Vec<Value> = grades
        .iter()
        .map(|(grade, p): &(u8, f64)| json!({"token": grade.to_string(), "logprob": p.ln()}))
        .collect();
    let first = json!({"token": grade.to_string(), "logprob": -0.1, "top_logprobs": top});
    reply(&grade.to_string(), &json!({"content": [first]}))
}

fn reply(text: &str, logprobs: &Value) -> Vec<u8> {
    let reply = json!({
        "id": "chatcmpl-judge", "object": "chat.completion", "model": "judge",
        "choices": [{
            "index": 0, "finish_reason": "length", "logprobs": logprobs,
            "message": {"role": "assistant", "content": text},
        }],
        "usage": {"prompt_tokens": 200, "completion_tokens": 1, "total_tokens": 201},
    });
    reply.to_string().into_bytes()
}
