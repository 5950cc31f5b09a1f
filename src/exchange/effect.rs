//! What the state machine tells the host to do.

#[cfg(doc)]
use super::Event;
use super::Reply;
use crate::api::edit::{PrefixEdit, Splice};
use crate::telemetry::Metric;
#[cfg(doc)]
use crate::telemetry::state;

/// How loud a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For who looks for a certain fault.
    Debug,
    /// Something of ours does not work as it should.
    Warn,
}

/// What the host is to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Hold the request (headers and body) back.
    Pause,
    /// Let what was held go on.
    Continue,
    /// Read bytes of the held body and the clock; answer with [`Event::Body`].
    ReadBody {
        /// The first of them.
        start: usize,
        /// How many bytes.
        size: usize,
    },
    /// Answer with [`Event::Clock`].
    ReadClock,
    /// Read the response's headers; answer with [`Event::ResponseHead`].
    ReadResponseHead,
    /// Read the bytes of the response's body that came, so many, and the clock; answer with [`Event::Chunk`].
    ReadChunk {
        /// How many bytes.
        size: usize,
    },
    /// Put other bytes in the place of all that came of the response's body.
    ReplaceChunk(Vec<u8>),
    /// Remove a response header.
    RemoveResponseHeader(String),
    /// Say who cut the answer off; answer with [`Event::Details`].
    ReadDetails,
    /// Answer with [`Event::Attempts`].
    ReadAttempts,
    /// Answer with [`Event::Host`].
    ReadHost,
    /// Remove a request header, every value of it.
    RemoveRequestHeader(Vec<u8>),
    /// Set a request header to one value.
    SetRequestHeader {
        /// Its name.
        name: String,
        /// Its value, free of control characters.
        value: String,
    },
    /// Set a request header to a secret of the host's: nothing here ever holds it. Where there is none, remove the header,
    /// which may hold a key that is another's, and count [`Metric::secrets_missing`].
    SetCredentials {
        /// Its name.
        header: String,
        /// What stands in it before the secret.
        prefix: String,
        /// The environment variable that holds the secret.
        env: String,
    },
    /// Change the start of the held body, and the length that the request states.
    ///
    /// A `content-length` that does not fit the body is request smuggling, so the host keeps this order: remove it, edit,
    /// set the new one; whatever fails in between leaves a request without it, which is sent in chunks.
    RewriteBody {
        /// The change.
        edit: PrefixEdit,
        /// The new `content-length`; `None` where the request has none or none that can be read.
        content_length: Option<u64>,
    },
    /// Change the held body in its midst, and the length that the request states: as [`Effect::RewriteBody`], where the change
    /// stands so far behind that the bytes before it are not to be copied.
    SpliceBody {
        /// The changes, in order and apart from each other.
        splices: Vec<Splice>,
        /// How many bytes are held.
        held: usize,
        /// The new `content-length`; `None` where the request has none or none that can be read.
        content_length: Option<u64>,
    },
    /// Forget the route that was chosen, so that the cluster header is looked at.
    ClearRouteCache,
    /// Answer the client here and now.
    Reply(Reply),
    /// Set a response header to one value.
    SetResponseHeader {
        /// Its name.
        name: &'static str,
        /// Its value, free of control characters.
        value: String,
    },
    /// Set a value that access logs can print.
    SetState {
        /// Its key, one of [`state`].
        key: &'static str,
        /// Its value.
        value: String,
    },
    /// Add 1 to a counter.
    Count(Metric),
    /// Add a number to a counter.
    Add(Metric, u64),
    /// Record a value in a histogram.
    Observe(Metric, u64),
    /// Remember who made state that a client may send again, for all workers.
    Remember {
        /// The key of the maker's state scope.
        scope: u32,
        /// The marks of the state.
        marks: Vec<u64>,
    },
    /// Write a log line. Never holds text of a prompt.
    Log(Level, String),
}

impl Effect {
    /// Whether the host has to answer it with an event, and does nothing else about it.
    pub const fn is_question(&self) -> bool {
        matches!(
            self,
            Effect::ReadBody { .. }
                | Effect::ReadClock
                | Effect::ReadResponseHead
                | Effect::ReadChunk { .. }
                | Effect::ReadAttempts
                | Effect::ReadDetails
                | Effect::ReadHost
        )
    }
}
