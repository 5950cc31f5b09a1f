//! Output of the state machine: what the host is to do.

use smol_str::SmolStr;

use super::Question;
use super::answer_to_grade::AnswerToGrade;
use crate::api::edit::{self, PrefixEdit, Splice};
use crate::api::judge::Grade;
use crate::policy::judge::{Judge, JudgeCache};
use crate::telemetry::Metric;
#[cfg(doc)]
use crate::telemetry::state;

/// The level of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For somebody who searches for a certain fault.
    Debug,
    /// A fact that logs are kept for.
    Info,
    /// Something in Pointsman does not work as it should.
    Warn,
}

/// An answer to the client in place of the upstream's; its content type is `application/json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The response code details in access logs.
    pub details: &'static str,
    /// Headers besides `content-type`.
    pub headers: Vec<(&'static str, SmolStr)>,
    /// The body, JSON.
    pub body: Vec<u8>,
}

/// The `user-agent` of calls of a judge.
pub const JUDGE_USER_AGENT: &str = "pointsman";

/// A call of a judge: a `POST` of JSON with no header of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgeCall {
    /// The number of the question: equal questions have the same one. While a question is open in a worker, the host does not send
    /// it again; all who asked it get the reply.
    pub token: u64,
    /// The cluster that is called.
    pub cluster: String,
    /// The `:authority` of the call.
    pub authority: String,
    /// The path of the call.
    pub path: String,
    /// The body, JSON.
    pub body: String,
    /// How long the reply may take, in milliseconds.
    pub timeout_ms: u32,
}

impl JudgeCall {
    /// The call of `judge` with this body.
    pub(super) fn new(judge: &Judge, token: u64, body: String, timeout_ms: u32) -> JudgeCall {
        JudgeCall {
            token,
            cluster: judge.cluster.clone(),
            authority: judge.authority.clone(),
            path: judge.path.clone(),
            body,
            timeout_ms,
        }
    }
}

/// A judge's grade that other requests may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KeptGrade {
    /// The hash of the prompt.
    pub prompt: u64,
    /// The grade.
    pub grade: Grade,
    /// The time, in seconds since 1970.
    pub now_s: u64,
    /// The bounds of what is kept.
    pub bounds: JudgeCache,
}

/// Sets a request header to one value, free of control characters.
pub(super) fn set_request_header(name: &str, value: SmolStr, effects: &mut Vec<Effect>) {
    effects.push(Effect::SetRequestHeader {
        name: name.into(),
        value,
    });
}

/// Something that the host is to do, in the order of the effects.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Hold the request, headers and body.
    Pause,
    /// Let go what was held.
    Continue,
    /// Ask the host a question. It answers with [`Event::Answer`](super::Event::Answer).
    Ask(Question),
    /// Ask a judge. The host reports its reply, or that there is none, with [`Event::JudgeReply`](super::Event::JudgeReply), unless
    /// the exchange is over by then.
    AskJudge(JudgeCall),
    /// Have an answer graded that was delivered: the host hands it to the [`Grader`](super::Grader) of the plugin configuration.
    GradeAnswer(Box<AnswerToGrade>),
    /// Replace the current chunk of the response's body.
    ReplaceChunk(Vec<u8>),
    /// Remove a response header.
    RemoveResponseHeader(String),
    /// Remove a request header with all its values.
    RemoveRequestHeader(Vec<u8>),
    /// Set a request header to one value.
    SetRequestHeader {
        /// Its name.
        name: SmolStr,
        /// Its value, free of control characters.
        value: SmolStr,
    },
    /// Set a request header to a secret that only the host has. If it has none, remove the header, which may hold a key of
    /// somebody else, and count [`Metric::secrets_missing`].
    SetCredentials {
        /// Its name.
        header: String,
        /// The text before the secret.
        prefix: String,
        /// The environment variable that holds the secret.
        env: String,
    },
    /// Change the start of the held body, and the stated length of the request.
    ///
    /// A `content-length` that does not fit the body is request smuggling, so the host keeps this order: remove it, edit, set
    /// the new one. A failure in between leaves a request without it, which is sent in chunks.
    RewriteBody {
        /// The change.
        edit: PrefixEdit,
        /// The new `content-length`; `None` if the request has none that can be parsed.
        content_length: Option<u64>,
    },
    /// Change the held body in its midst, and the stated length of the request, as [`Effect::RewriteBody`] does. For a change
    /// so far behind that the bytes before it are not to be copied.
    SpliceBody {
        /// The changes, in order and without overlap.
        splices: Vec<Splice>,
        /// Number of held bytes.
        held: usize,
        /// The new `content-length`; `None` if the request has none that can be parsed.
        content_length: Option<u64>,
    },
    /// Drop the chosen route, so that Envoy reads the cluster header.
    ClearRouteCache,
    /// Answer the client now.
    Reply(Reply),
    /// Set a response header to one value.
    SetResponseHeader {
        /// Its name.
        name: &'static str,
        /// Its value, free of control characters.
        value: SmolStr,
    },
    /// Set a filter-state value, which access logs can print.
    SetState {
        /// Its key, one of [`state`].
        key: &'static str,
        /// Its value.
        value: SmolStr,
    },
    /// Add 1 to a counter.
    Count(Metric),
    /// Add a number to a counter.
    Add(Metric, u64),
    /// Record a value in a histogram.
    Observe(Metric, u64),
    /// Remember, for all workers, who made state that a client may send again.
    Remember {
        /// The key of the state scope of the maker.
        scope: u32,
        /// The marks of the state.
        marks: Vec<u64>,
    },
    /// Keep a judge's grade, for all workers.
    KeepGrade(KeptGrade),
    /// Write a log line. Never holds text of a prompt.
    Log(Level, String),
}

impl Effect {
    /// The edit of a held body of `held` bytes, whose first bytes are `start`, and the length of the body after it.
    /// `content_length` is the length that the request states.
    pub(super) fn edit_body(
        splices: Vec<Splice>,
        start: &[u8],
        held: usize,
        content_length: Option<u64>,
    ) -> (Effect, Option<u64>) {
        let grown = edit::growth(&splices);
        let content_length = content_length.and_then(|length| length.checked_add_signed(grown));
        let effect = match PrefixEdit::from_splices(start, &splices) {
            Some(edit) => Effect::RewriteBody {
                edit,
                content_length,
            },
            None => Effect::SpliceBody {
                splices,
                held,
                content_length,
            },
        };
        (effect, content_length)
    }
}
