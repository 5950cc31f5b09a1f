//! Input of the state machine: what happened, and the answers to its questions.

use super::{Answer, Header};

/// The reply of a judge to a question, or why there is none.
#[derive(Debug, Clone, Copy)]
pub struct JudgeReply<'a> {
    /// The number of the question, as in [`JudgeCall`](super::JudgeCall).
    pub token: u64,
    /// The reply.
    pub content: JudgeReplyContent<'a>,
    /// Another exchange of this worker sent the question, and so counts the call.
    pub is_shared: bool,
    /// The time, in nanoseconds since 1970.
    pub now_ns: u64,
}

/// The content of a [`JudgeReply`].
#[derive(Debug, Clone, Copy)]
pub enum JudgeReplyContent<'a> {
    /// A response, which may be one that the host makes up for a call that failed.
    Response {
        /// HTTP status; 0 if the connection was reset.
        status: u16,
        /// The body; `None` if it is too long to be read, or cannot be.
        body: Option<&'a [u8]>,
    },
    /// The question could not be sent: there is no such cluster, or it has no host.
    NotSent,
    /// The exchange that sent the question is over.
    Abandoned,
}

/// Something that happened to the exchange.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// The request's headers have arrived.
    RequestHeaders {
        /// All of them, pseudo-headers included.
        headers: &'a [Header<'a>],
        /// The request has no body and no trailers.
        end_of_stream: bool,
    },
    /// More of the request's body has arrived.
    RequestBody {
        /// Bytes held so far, in total.
        held: usize,
        /// This was the last of it.
        end_of_stream: bool,
    },
    /// The request's trailers have arrived, so its body is complete.
    RequestTrailers,
    /// The response's headers have arrived.
    ResponseHeaders,
    /// More of the response's body has arrived.
    ResponseBody {
        /// Bytes in this chunk.
        size: usize,
        /// This was the last of it.
        end_of_stream: bool,
    },
    /// The host answers the question that was asked last.
    Answer(Answer<'a>),
    /// The judge has replied to the question of [`Effect::AskJudge`](super::Effect::AskJudge), or will not.
    JudgeReply(JudgeReply<'a>),
    /// The exchange is over: it ended, or one side left. The time is in nanoseconds since 1970.
    Done(u64),
}
