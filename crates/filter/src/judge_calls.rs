//! Calls of judges: sends a question once however many streams of this VM ask it, and hands the reply to all of them.
//!
//! The stream that asked first makes the call, and Envoy drops the call together with that stream. The others wait for the same
//! reply; if the first one leaves, they are told at once, so that nobody waits longer than for a call of its own. Decides nothing:
//! what a reply is worth is the core's.

use std::cell::RefCell;
use std::time::Duration;

use pointsman::api::judge::MAX_REPLY_BYTES;
use pointsman::decimal::parse_whole;
use pointsman::exchange::{JUDGE_USER_AGENT, JudgeCall, JudgeReply, JudgeReplyContent};

use crate::effects::now_ns;
use crate::hostcalls::{self, Buffer, HostError, Map};

/// The most calls of one VM at a time. Each takes a connection or a stream of the judge, and none lasts longer than its deadline.
const MAX_CALLS: usize = 256;
/// The most streams that wait for one reply. Letting them go is one callback of the worker.
const MAX_WAITING: usize = 64;

/// A stream that asks.
pub struct Asker {
    /// The host's number of its context.
    pub context: u32,
    /// Hands it the reply to another stream's question, on its own behalf, if it is still there.
    pub tell: Box<dyn Fn(JudgeReply<'_>)>,
}

/// A call without a reply.
struct Call {
    /// The host's number.
    number: u32,
    /// The number of the question, and the configuration that it belongs to.
    question: (u64, u64),
    /// The stream that made the call.
    caller: u32,
    /// Other streams with the same question.
    waiting: Vec<Asker>,
}

thread_local! {
    /// A module has one thread, so these are the VM's.
    static CALLS: RefCell<Vec<Call>> = const { RefCell::new(Vec::new()) };
}

/// Asks on behalf of `asker`, under the plugin configuration with this fingerprint.
///
/// # Errors
/// The status of the host if it cannot send the call; then no reply will come.
#[inline(never)]
pub fn ask(asker: Asker, plugin: u64, call: &JudgeCall) -> Result<(), HostError> {
    CALLS.with(|calls| {
        let mut calls = calls.try_borrow_mut().map_err(|_| HostError::NOT_FOUND)?;
        let question = (call.token, plugin);
        let under_way = calls.iter_mut().find(|known| known.question == question);
        if let Some(known) = under_way
            && known.waiting.len() < MAX_WAITING
        {
            known.waiting.push(asker);
            return Ok(());
        }
        if calls.len() >= MAX_CALLS {
            return Err(HostError::NOT_FOUND);
        }
        let number = send(call)?;
        calls.push(Call {
            number,
            question,
            caller: asker.context,
            waiting: Vec::new(),
        });
        Ok(())
    })
}

/// Makes a call on behalf of the context that is active now.
pub fn send(call: &JudgeCall) -> Result<u32, HostError> {
    let headers = vec![
        (":method", "POST"),
        (":path", call.path.as_str()),
        (":authority", call.authority.as_str()),
        ("content-type", "application/json"),
        ("accept", "application/json"),
        ("user-agent", JUDGE_USER_AGENT),
    ];
    let timeout = Duration::from_millis(u64::from(call.timeout_ms));
    hostcalls::call(&call.cluster, headers, Some(call.body.as_bytes()), timeout)
}

/// Takes the response to the call with this number. Calls `tell` with it for the caller, then lets the others have it.
#[inline(never)]
pub fn on_response(number: u32, body_size: usize, tell: impl FnOnce(JudgeReply<'_>)) {
    let Some(call) = take(|call| call.number == number) else {
        return;
    };
    with_response(body_size, |content| {
        let reply = JudgeReply {
            token: call.question.0,
            content,
            is_shared: false,
            now_ns: now_ns(),
        };
        tell(reply);
        share(call.waiting, reply);
    });
}

/// Reads the response of the present callback, and calls `take` with it.
pub fn with_response(body_size: usize, take: impl FnOnce(JudgeReplyContent<'_>)) {
    let body = match body_size {
        0..=MAX_REPLY_BYTES => hostcalls::buffer(Buffer::CallResponseBody, body_size).ok(),
        _ => None,
    };
    take(JudgeReplyContent::Response {
        status: status(),
        body: body.as_deref(),
    });
}

/// The stream with this id is over: whoever waits for its reply gets none.
pub fn on_gone(caller: u32) {
    // A stream makes one call at most.
    if let Some(call) = take(|call| call.caller == caller) {
        let reply = JudgeReply {
            token: call.question.0,
            content: JudgeReplyContent::Abandoned,
            is_shared: true,
            now_ns: now_ns(),
        };
        share(call.waiting, reply);
    }
}

fn share(waiting: Vec<Asker>, reply: JudgeReply<'_>) {
    let reply = JudgeReply {
        is_shared: true,
        ..reply
    };
    for stream in waiting {
        (stream.tell)(reply);
    }
}

fn take(is: impl Fn(&Call) -> bool) -> Option<Call> {
    CALLS.with(|calls| {
        let mut calls = calls.try_borrow_mut().ok()?;
        let place = calls.iter().position(is)?;
        Some(calls.swap_remove(place))
    })
}

/// The status of the response; 0 if there is none.
fn status() -> u16 {
    let text = hostcalls::header(Map::CallResponse, b":status").ok();
    let status = text.as_deref().and_then(parse_whole);
    status
        .and_then(|status| u16::try_from(status).ok())
        .unwrap_or(0)
}
