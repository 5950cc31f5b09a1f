//! Input of the state machine: what happened, and the answers to its questions.

use super::{Answer, Header};

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
    /// The exchange is over: it ended, or one side left. The time is in nanoseconds since 1970.
    Done(u64),
}
