//! A server of one policy document that does what a test tells it to: another document, an error, silence, no connection.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use crate::acceptor::Acceptor;

/// How the server answers the next questions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// The document, or 304 to who has it.
    #[default]
    Serve,
    /// This status.
    Status(u16),
    /// The connection is accepted and closed at once.
    HangUp,
    /// Nothing, for longer than anybody waits.
    Silence,
}

/// A document as it is served.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// The body.
    pub body: Vec<u8>,
    /// The header `x-pointsman-signature`.
    pub signature: Option<String>,
    /// The header `etag`.
    pub etag: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    document: Document,
    behaviour: Behaviour,
    asked: Vec<String>,
    open: usize,
    most_open: usize,
}

/// A running server; dropping it ends it.
#[derive(Debug)]
pub struct PolicySource {
    acceptor: Acceptor,
    state: Arc<Mutex<State>>,
}

impl PolicySource {
    /// Starts one on a port of the operating system's choice.
    ///
    /// # Errors
    /// If none is free.
    pub fn start() -> std::io::Result<PolicySource> {
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        let acceptor = Acceptor::start(move |stream| answer(stream, &shared))?;
        Ok(PolicySource { acceptor, state })
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.acceptor.address()
    }

    /// Serves this document from now on.
    pub fn serve(&self, document: Document) {
        let mut state = lock(&self.state);
        state.document = document;
        state.behaviour = Behaviour::Serve;
    }

    /// Does this from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        lock(&self.state).behaviour = behaviour;
    }

    /// The heads of all requests so far.
    pub fn asked(&self) -> Vec<String> {
        lock(&self.state).asked.clone()
    }

    /// The most questions that were open at the same time.
    pub fn most_at_once(&self) -> usize {
        lock(&self.state).most_open
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(stream: &TcpStream, shared: &Mutex<State>) -> std::io::Result<()> {
    if lock(shared).behaviour == Behaviour::HangUp {
        return Ok(());
    }
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut head = String::new();
    let mut reader = BufReader::new(stream);
    while reader.read_line(&mut head)? > 2 {}
    let (behaviour, document) = {
        let mut state = lock(shared);
        state.asked.push(head.clone());
        state.open += 1;
        state.most_open = state.most_open.max(state.open);
        (state.behaviour.clone(), state.document.clone())
    };
    let done = write(stream, &head, &behaviour, &document);
    lock(shared).open -= 1;
    done
}

fn write(
    mut stream: &TcpStream,
    head: &str,
    behaviour: &Behaviour,
    document: &Document,
) -> std::io::Result<()> {
    let has_it = document
        .etag
        .as_ref()
        .is_some_and(|etag| head.contains(&format!("if-none-match: {etag}")));
    let (status, body) = match behaviour {
        Behaviour::Serve if has_it => (304, &b""[..]),
        Behaviour::Serve => (200, document.body.as_slice()),
        Behaviour::Status(status) => (*status, &b"not a policy"[..]),
        Behaviour::HangUp => return Ok(()),
        Behaviour::Silence => {
            sleep(Duration::from_secs(3));
            return Ok(());
        }
    };
    let mut text = format!("HTTP/1.1 {status} Told\r\nconnection: close\r\n");
    if let Some(etag) = &document.etag {
        text.push_str(&format!("etag: {etag}\r\n"));
    }
    if let Some(signature) = &document.signature {
        text.push_str(&format!("x-pointsman-signature: {signature}\r\n"));
    }
    if status != 304 {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    stream.write_all(text.as_bytes())?;
    stream.write_all(b"\r\n")?;
    stream.write_all(body)
}
