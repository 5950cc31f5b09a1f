//! One simulated backend as an HTTP server: listening, reading, delaying, failing, answering. Binds 127.0.0.1 only.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use http_body_util::channel::Sender;
use http_body_util::{BodyExt, Channel, Either, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use pointsman::api::Api;
use pointsman::api::error_body::error_event;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

use super::answer::Answer;
use super::api_error::ApiError;
use super::control;
use super::faults::{Fault, Faults};
use super::fleet::{BackendSpec, WhenFull};
use super::record::{Record, Recorded};
use super::request::Call;
use super::response::{BodyError, HttpResponse, json_response, to_bytes};
use super::timing::{Draws, scaled};
use super::wire::{self, Events};

/// The longest body that is read; the rest of a longer one is refused with 413.
const MAX_BODY: usize = 64 << 20;

/// The request header that says how many tokens the answer has.
pub const ANSWER_TOKENS: &str = "x-demo-answer-tokens";

/// One running backend.
pub struct Server {
    backend: BackendSpec,
    time_scale: f64,
    slots: Arc<Semaphore>,
    state: Mutex<State>,
}

/// State that changes while the backend runs.
struct State {
    /// The faults in force.
    faults: Faults,
    /// The requests that arrived.
    record: Record,
    draws: Draws,
    last_request: Option<Instant>,
}

impl Server {
    /// A backend at rest; `seed` fixes its delays, `time_scale` 1 is real time and 0 no delay at all.
    pub fn new(backend: BackendSpec, time_scale: f64, seed: u64) -> Arc<Server> {
        Arc::new(Server {
            slots: Arc::new(Semaphore::new(backend.slots)),
            state: Mutex::new(State {
                faults: Faults::default(),
                record: Record::default(),
                draws: Draws::new(seed),
                last_request: None,
            }),
            backend,
            time_scale,
        })
    }

    /// The changing state, locked: never held across an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves connections until the runtime ends.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((socket, _)) = listener.accept().await else {
                // Out of file descriptors, most likely: others will be closed.
                sleep(Duration::from_millis(20)).await;
                continue;
            };
            let _ = socket.set_nodelay(true);
            let server = Arc::clone(&self);
            tokio::spawn(async move {
                let service = service_fn(move |request| Arc::clone(&server).answer(request));
                // An error here is a client that went away, or a reset that was asked for.
                let _ = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(socket), service)
                    .await;
            });
        }
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<HttpResponse, BodyError> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        if path.starts_with("/control/") {
            let body = read(body).await.body;
            let mut state = self.state();
            let State { faults, record, .. } = &mut *state;
            return Ok(control::answer(
                faults,
                record,
                &head.method,
                &head.uri,
                &body,
            ));
        }
        let read = read(body).await;
        self.state().record.push(Recorded {
            id: 0,
            method: head.method.clone(),
            path: head.uri.to_string(),
            headers: head.headers.clone(),
            trailers: read.trailers,
            body: read.body.clone(),
            complete: read.complete,
        });
        match (&head.method, path.as_str()) {
            (&Method::GET, "/health") => Ok(self.health()),
            (&Method::GET, "/v1/models") => Ok(self.models()),
            (&Method::POST, path) => {
                match Call::from_path(path).filter(|call| self.speaks(*call)) {
                    Some(call) => self.call(call, &head.headers, &read.body).await,
                    None => Ok(unknown_url(&head.method, path)),
                }
            }
            (method, path) => Ok(unknown_url(method, path)),
        }
    }

    fn speaks(&self, call: Call) -> bool {
        self.backend.apis.contains(call.api())
    }

    fn health(&self) -> HttpResponse {
        if self.state().faults.is_unhealthy() {
            json_response(503, to_bytes(&json!({"status": "failing"})))
        } else {
            json_response(200, to_bytes(&json!({"status": "ok"})))
        }
    }

    fn models(&self) -> HttpResponse {
        json_response(
            200,
            to_bytes(&json!({"object": "list", "data": [{
                "id": self.backend.served_model, "object": "model", "created": 0,
                "owned_by": self.backend.name,
            }]})),
        )
    }

    async fn call(
        self: Arc<Self>,
        call: Call,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<HttpResponse, BodyError> {
        let api = call.api();
        let (fault, own_error) = self.injected_fault(headers, asks_for_stream(body));
        let effect = FaultEffect::new(fault.as_ref());
        match fault {
            Some(Fault::Status {
                status,
                retry_after,
            }) => {
                return Ok(commanded_status(api, status, retry_after));
            }
            Some(Fault::ResetBeforeHeaders) => {
                return Err(io::Error::other("reset as commanded"));
            }
            Some(Fault::Hang) => std::future::pending::<()>().await,
            Some(Fault::HangAfterHeaders) => return Ok(head_alone()),
            Some(Fault::Delay { ms }) => sleep(Duration::from_millis(ms)).await,
            Some(Fault::ErrorInAnswer) => {
                return Ok(error_in_answer(api, asks_for_stream(body)));
            }
            _ => {}
        }
        if own_error {
            return Ok(commanded_status(api, 500, None));
        }
        let length = headers.get(ANSWER_TOKENS);
        let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
        let mut answer = match Answer::to(&self.backend, call, body, now(), length) {
            Ok(answer) => answer,
            Err(error) => return Ok(refuse(api, &error)),
        };
        if effect.says_nothing {
            answer.tokens.clear();
            answer.tool = None;
            answer.cut = false;
        }
        let Some(slot) = self.slot().await else {
            return Ok(commanded_status(api, 429, Some(1)));
        };
        let pace = self.pace(effect.slow);
        sleep(pace.first_token).await;
        let writing = Writing {
            answer,
            pace,
            break_after: effect.break_after,
            pause: effect.pause,
            _slot: slot,
        };
        Ok(writing.begin(&self.backend).await)
    }

    /// The commanded fault that hits this request, and whether the backend fails by itself.
    fn injected_fault(&self, headers: &HeaderMap, streams: bool) -> (Option<Fault>, bool) {
        let mut state = self.state();
        let fault = state.faults.strike(headers, streams);
        let own_error =
            self.backend.error_rate > 0.0 && state.draws.uniform() < self.backend.error_rate;
        (fault, own_error)
    }

    async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        let slots = Arc::clone(&self.slots);
        match self.backend.when_full {
            WhenFull::Queue => slots.acquire_owned().await.ok(),
            WhenFull::Reject => slots.try_acquire_owned().ok(),
        }
    }

    fn pace(&self, slow: f64) -> Pace {
        let mut state = self.state();
        let backend = &self.backend;
        let mut first = state
            .draws
            .log_normal(backend.first_token_p50_ms, backend.first_token_p99_ms);
        let idle = scaled(backend.idle_ms, self.time_scale);
        if state.last_request.is_none_or(|last| last.elapsed() > idle) {
            first += backend.cold_start_ms;
        }
        state.last_request = Some(Instant::now());
        Pace {
            first_token: scaled(first * slow, self.time_scale),
            token: scaled(1_000.0 * slow / backend.tokens_per_second, self.time_scale),
        }
    }
}

/// How an answer ends too early.
#[derive(Debug, Clone, Copy)]
enum Break {
    /// The connection is closed.
    Reset,
    /// As if that were all.
    End,
}

/// How fast one answer comes.
struct Pace {
    first_token: Duration,
    token: Duration,
}

/// How the writing of an answer differs from what it would be without a fault.
struct FaultEffect {
    break_after: Option<(usize, Break)>,
    pause: Option<(usize, Duration)>,
    slow: f64,
    says_nothing: bool,
}

impl FaultEffect {
    fn new(fault: Option<&Fault>) -> FaultEffect {
        let mut effect = FaultEffect {
            break_after: None,
            pause: None,
            slow: 1.0,
            says_nothing: false,
        };
        match fault {
            Some(Fault::ResetMidStream { after_tokens }) => {
                effect.break_after = Some((*after_tokens, Break::Reset));
            }
            Some(Fault::EndMidStream { after_tokens }) => {
                effect.break_after = Some((*after_tokens, Break::End));
            }
            Some(Fault::PauseMidStream { after_tokens, ms }) => {
                effect.pause = Some((*after_tokens, Duration::from_millis(*ms)));
            }
            Some(Fault::EmptyAnswer) => effect.says_nothing = true,
            Some(Fault::Slow { factor }) => effect.slow = *factor,
            _ => {}
        }
        effect
    }
}

/// An answer while it is being written; it holds its slot until the last token.
struct Writing {
    answer: Answer,
    pace: Pace,
    break_after: Option<(usize, Break)>,
    /// After how many tokens it is silent, and how long.
    pause: Option<(usize, Duration)>,
    _slot: OwnedSemaphorePermit,
}

impl Writing {
    async fn begin(self, backend: &BackendSpec) -> HttpResponse {
        let cost = format!("{:.9}", self.answer.cost_usd(backend));
        let request_id = format!("req_{}", self.answer.id);
        let mut response = if self.answer.stream {
            let (sender, body) = Channel::new(64);
            tokio::spawn(self.stream(sender));
            let mut response = Response::new(Either::Right(body));
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            response
        } else if let Some((tokens, _)) = self.break_after {
            sleep(self.pace.token * tokens as u32).await;
            self.broken_whole()
        } else {
            sleep(self.pace.token * self.answer.tokens.len() as u32).await;
            json_response(200, to_bytes(&wire::whole(&self.answer)))
        };
        let headers = response.headers_mut();
        for (name, value) in [
            ("request-id", request_id.as_str()),
            ("x-demo-backend", backend.name.as_str()),
            ("x-demo-cost-usd", &cost),
        ] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        response
    }

    /// Half of the JSON document and then nothing.
    fn broken_whole(&self) -> HttpResponse {
        let mut half = to_bytes(&wire::whole(&self.answer));
        half.truncate(half.len() / 2);
        let (mut sender, body) = Channel::new(2);
        tokio::spawn(async move {
            if sender.send_data(half).await.is_ok() {
                break_off(sender).await;
            }
        });
        let mut response = Response::new(Either::Right(body));
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    async fn stream(self, mut sender: Sender<Bytes, BodyError>) {
        let Writing {
            answer,
            pace,
            break_after,
            mut pause,
            _slot,
        } = self;
        let start = Instant::now();
        let mut events = Events::default();
        // A frame without bytes would end a chunked body.
        let opening = events.opening(&answer);
        if !opening.is_empty() && sender.send_data(opening).await.is_err() {
            return;
        }
        let end = break_after.map_or(usize::MAX, |(tokens, _)| tokens);
        let end = end.min(answer.tokens.len());
        let mut sent = 0;
        while sent < end {
            // Timers have a resolution of a millisecond: what is due by now goes out together.
            let due = match pace.token.as_nanos() {
                0 => sent + 8,
                token => (start.elapsed().as_nanos() / token) as usize + 1,
            };
            let due = due.clamp(sent + 1, end);
            let Some(tokens) = answer.tokens.get(sent..due) else {
                break;
            };
            let part = events.part(&answer, tokens);
            if sender.send_data(part).await.is_err() {
                return;
            }
            sent = due;
            if let Some((_, silence)) = pause.take_if(|(after, _)| *after <= sent) {
                sleep(silence).await;
            }
            tokio::time::sleep_until(start + pace.token * sent as u32).await;
        }
        match break_after {
            Some((_, Break::Reset)) => break_off(sender).await,
            Some((_, Break::End)) => {}
            None => {
                let _ = sender.send_data(events.closing(&answer)).await;
            }
        }
    }
}

/// Ends a body as a broken one. What was sent before gets a moment to leave: an abort overtakes it.
async fn break_off(sender: Sender<Bytes, BodyError>) {
    sleep(Duration::from_millis(20)).await;
    sender.abort(io::Error::other("reset as commanded"));
}

struct Read {
    body: Bytes,
    trailers: Option<HeaderMap>,
    complete: bool,
}

async fn read(mut incoming: Incoming) -> Read {
    let mut body = BytesMut::new();
    let mut trailers = None;
    let mut complete = true;
    while let Some(frame) = incoming.frame().await {
        match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(data)) if body.len() + data.len() <= MAX_BODY => body.extend_from_slice(&data),
            Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
            Ok(Ok(_)) | Err(_) => {
                complete = false;
                break;
            }
        }
    }
    Read {
        body: body.freeze(),
        trailers,
        complete,
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn refuse(api: Api, error: &ApiError) -> HttpResponse {
    json_response(error.status, error.to_json(api))
}

/// Whether a body asks for a stream.
fn asks_for_stream(body: &[u8]) -> bool {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    body.get("stream").and_then(Value::as_bool) == Some(true)
}

/// An error with a status of 200, as some servers tell it.
fn error_in_answer(api: Api, streams: bool) -> HttpResponse {
    let message = "the demo backend fails on command";
    if !streams {
        let error = ApiError {
            status: 500,
            code: "server_error",
            message: message.to_owned(),
        };
        return json_response(200, error.to_json(api));
    }
    let event = error_event(api, "server_error", message);
    let mut response = Response::new(Either::Left(Full::new(event.into())));
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// The head of a stream, behind which nothing comes.
fn head_alone() -> HttpResponse {
    let (sender, body) = Channel::new(1);
    tokio::spawn(async move {
        std::future::pending::<()>().await;
        drop::<Sender<Bytes, BodyError>>(sender);
    });
    let mut response = Response::new(Either::Right(body));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

fn unknown_url(method: &Method, path: &str) -> HttpResponse {
    let error = ApiError {
        status: 404,
        code: "unknown_url",
        message: format!("unknown request URL: {method} {path}"),
    };
    refuse(
        Call::from_path(path).map_or(Api::OpenAiChat, Call::api),
        &error,
    )
}

fn commanded_status(api: Api, status: u16, retry_after: Option<u32>) -> HttpResponse {
    let code = match status {
        429 => "rate_limit_exceeded",
        _ => "server_error",
    };
    let error = ApiError {
        status,
        code,
        message: "the demo backend fails on command".into(),
    };
    let mut response = refuse(api, &error);
    if let Some(seconds) = retry_after {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
