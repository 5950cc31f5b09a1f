//! Request paths: normalisation, and recognition of the APIs' paths.
//!
//! Servers accept many spellings of a path (`//v1/…`, `%2f`, `;x`, `/./`, a trailing `/`, another case). A request in an
//! unrecognised spelling would escape the policy. So a path is normalised once; recognition, the conditions of rules and the path
//! for the backend all use the normalised path. Methods, headers and bodies play no part here.

use std::borrow::Cow;

use crate::api::Api;

/// Purpose of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// A model answers it.
    Answer,
    /// Only its tokens are counted, which costs nothing.
    TokenCount,
}

/// Meaning of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A call of an API with a body to decide on.
    Call {
        /// The API.
        api: Api,
        /// Its purpose.
        call: Call,
        /// The deployment in the path, as Azure writes it: the requested model if the body names none.
        deployment: Option<String>,
        /// Whether nothing else is likely to have such a path; `false` if only the body can tell (`/forms/responses`).
        is_certain: bool,
    },
    /// The list of models.
    Models,
    /// One model, by its name as the client writes it.
    Model(String),
    /// The dry run.
    Route,
    /// Feedback on answers.
    Feedback,
    /// Almost a call of this API: a path below one, a misspelt path, or a call that is not routed.
    NearMiss(Api),
    /// No path of an LLM API.
    Other,
}

/// A request path, normalised and recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiPath<'p> {
    /// The whole path: decoded, without query, parameters, empty and dot segments and a `/` at the end. Its case is kept.
    pub text: Cow<'p, str>,
    /// Its meaning.
    pub target: Target,
    /// Prefix before the API's own path, without a `/` at the end.
    mount: String,
    /// The API's own path: `/v1/chat/completions`; empty if there is none.
    own: &'static str,
}

/// A call of an API.
struct Row {
    /// The API's own path.
    own: &'static str,
    /// Its segments without the version.
    tail: &'static [&'static str],
    api: Api,
    call: Call,
}

const fn row(own: &'static str, tail: &'static [&'static str], api: Api, call: Call) -> Row {
    Row {
        own,
        tail,
        api,
        call,
    }
}

/// The calls of the APIs, a longer path before its beginning.
const CALLS: &[Row] = &[
    row(
        "/v1/chat/completions",
        &["chat", "completions"],
        Api::OpenAiChat,
        Call::Answer,
    ),
    row(
        "/v1/chat/completions/input_tokens",
        &["chat", "completions", "input_tokens"],
        Api::OpenAiChat,
        Call::TokenCount,
    ),
    row(
        "/v1/responses",
        &["responses"],
        Api::OpenAiResponses,
        Call::Answer,
    ),
    row(
        "/v1/responses/input_tokens",
        &["responses", "input_tokens"],
        Api::OpenAiResponses,
        Call::TokenCount,
    ),
    row(
        "/v1/responses/compact",
        &["responses", "compact"],
        Api::OpenAiResponses,
        Call::Answer,
    ),
    row(
        "/v1/messages",
        &["messages"],
        Api::AnthropicMessages,
        Call::Answer,
    ),
    row(
        "/v1/messages/count_tokens",
        &["messages", "count_tokens"],
        Api::AnthropicMessages,
        Call::TokenCount,
    ),
    row(
        "/v1/embeddings",
        &["embeddings"],
        Api::OpenAiEmbeddings,
        Call::Answer,
    ),
    // After those of chat, which end alike.
    row(
        "/v1/completions",
        &["completions"],
        Api::OpenAiCompletions,
        Call::Answer,
    ),
];

/// Calls that make a model answer but are not routed: older and foreign APIs, and batches. `*` matches any segment. A pattern
/// matches the whole path, or all of it after a version.
const UNDECIDED: &[(&[&str], Api)] = &[
    (&["batches"], Api::OpenAiChat),
    (&["complete"], Api::AnthropicMessages),
    (&["edits"], Api::OpenAiCompletions),
    (&["chat"], Api::OpenAiChat),
    (&["threads", "runs"], Api::OpenAiResponses),
    (&["threads", "*", "runs"], Api::OpenAiResponses),
    (&["realtime"], Api::OpenAiResponses),
    (&["completion"], Api::OpenAiCompletions),
    (&["infill"], Api::OpenAiCompletions),
    (&["invocations"], Api::OpenAiChat),
    (&["generate"], Api::OpenAiCompletions),
    (&["generate_stream"], Api::OpenAiCompletions),
    (&["inference", "v1", "generate"], Api::OpenAiCompletions),
    (&["api", "generate"], Api::OpenAiCompletions),
    (&["api", "chat"], Api::OpenAiChat),
    (&["api", "embed"], Api::OpenAiEmbeddings),
    (&["api", "embeddings"], Api::OpenAiEmbeddings),
    (&["model", "*", "invoke"], Api::AnthropicMessages),
    (
        &["model", "*", "invoke-with-response-stream"],
        Api::AnthropicMessages,
    ),
    (&["model", "*", "converse"], Api::AnthropicMessages),
    (&["model", "*", "converse-stream"], Api::AnthropicMessages),
];

/// Methods of Google's APIs that make a model answer: the part after the last `:`.
const VERBS: &[&str] = &[
    "generatecontent",
    "streamgeneratecontent",
    "counttokens",
    "embedcontent",
    "batchembedcontents",
    "rawpredict",
    "streamrawpredict",
];

/// Segments that make a path without a version certain.
const VENDORS: &[&str] = &["openai", "anthropic", "codex"];

/// Prefixes of ids of stored objects; paths below them carry no prompts.
const IDS: &[&str] = &["chatcmpl-", "chatcmpl_", "resp_", "resp-", "msgbatch_"];

impl<'p> ApiPath<'p> {
    /// Normalises and recognises `path`, with or without a query.
    ///
    /// ```
    /// use pointsman::api::path::{ApiPath, Target};
    ///
    /// let path = ApiPath::read("/v1//models/?limit=3");
    /// assert_eq!(path.text, "/v1/models");
    /// assert_eq!(path.target, Target::Models);
    /// ```
    pub fn read(path: &'p str) -> ApiPath<'p> {
        let plain = path.split(['?', '#']).next().unwrap_or(path);
        // The path of nearly every request needs no normalisation.
        if let Some(row) = CALLS.iter().find(|row| row.own == plain) {
            return ApiPath {
                text: Cow::Borrowed(plain),
                target: row.target(None, true),
                mount: String::new(),
                own: row.own,
            };
        }
        let text = normalise(plain);
        let lower = text.to_ascii_lowercase();
        let (whole, folded) = (segments(&text), segments(&lower));
        let (target, kept, own) = recognise(&whole, &folded);
        ApiPath {
            mount: join(whole.get(..kept).unwrap_or_default()),
            own,
            target,
            text: Cow::Owned(text),
        }
    }

    /// The API's own path without its prefix: `/v1/chat/completions`; empty if there is none.
    pub const fn own(&self) -> &'static str {
        self.own
    }

    /// The path for the backend in place of `sent`, with its query; `None` if that is `sent` itself.
    ///
    /// The prefix stays: the operator's routes may remove it. A path with a deployment becomes the API's own path, because the
    /// chosen deployment differs; Azure's `api-version` is removed with it.
    pub fn to_send(&self, sent: &str) -> Option<String> {
        let Target::Call {
            deployment,
            is_certain,
            ..
        } = &self.target
        else {
            return None;
        };
        if self.mount.is_empty() && sent.starts_with(self.own) && deployment.is_none() {
            let rest = sent.get(self.own.len()..).unwrap_or_default();
            if rest.is_empty() || rest.starts_with('?') {
                return None;
            }
        }
        let mut path = if *is_certain {
            encode(&[self.mount.as_str(), self.own].concat())
        } else {
            encode(&self.text)
        };
        let cut = sent.split('#').next().unwrap_or(sent);
        if let Some((_, query)) = cut.split_once('?') {
            let of_azure = |pair: &&str| deployment.is_some() && pair.starts_with("api-version=");
            let kept: Vec<&str> = query.split('&').filter(|pair| !of_azure(pair)).collect();
            if !kept.is_empty() {
                path.push('?');
                path.push_str(&kept.join("&"));
            }
        }
        (path != sent).then_some(path)
    }
}

impl Api {
    /// The API of the requests that are sent to this path and answered by a model; [`ApiPath`] says how it is read.
    ///
    /// ```
    /// use pointsman::api::Api;
    ///
    /// assert_eq!(Api::of_path("/v1/chat/completions"), Some(Api::OpenAiChat));
    /// assert_eq!(Api::of_path("/proxy//v1/messages?beta=true"), Some(Api::AnthropicMessages));
    /// assert_eq!(Api::of_path("/v1/messages/count_tokens"), None);
    /// assert_eq!(Api::of_path("/favicon.ico"), None);
    /// ```
    pub fn of_path(path: &str) -> Option<Api> {
        Api::of_call(path, Call::Answer)
    }

    /// The API of the requests whose tokens are counted at this path.
    pub fn counted_at(path: &str) -> Option<Api> {
        Api::of_call(path, Call::TokenCount)
    }

    /// The API of the bodies that are sent to this path: as [`Api::of_path`], or [`Api::counted_at`].
    pub fn of_body_at(path: &str) -> Option<Api> {
        Api::of_path(path).or_else(|| Api::counted_at(path))
    }

    fn of_call(path: &str, wanted: Call) -> Option<Api> {
        match ApiPath::read(path).target {
            Target::Call { api, call, .. } if call == wanted => Some(api),
            _ => None,
        }
    }
}

impl Row {
    const fn target(&self, deployment: Option<String>, is_certain: bool) -> Target {
        Target::Call {
            api: self.api,
            call: self.call,
            deployment,
            is_certain,
        }
    }
}

/// The meaning of the segments, the number of segments before the API's own path, and that path.
fn recognise(whole: &[&str], folded: &[&str]) -> (Target, usize, &'static str) {
    for row in CALLS {
        let Some(before) = folded.strip_suffix(row.tail) else {
            continue;
        };
        let named = find_deployment(whole.get(..before.len()).unwrap_or_default(), before);
        let (mounted, deployment) = match named {
            Some((mounted, name)) => (mounted, Some(name)),
            None => (without_version(before), None),
        };
        let is_certain =
            deployment.is_some() || mounted < before.len() || is_certain(before, row.api);
        return (row.target(deployment, is_certain), mounted, row.own);
    }
    let target = models(whole, folded)
        .unwrap_or_else(|| near_miss(folded).map_or(Target::Other, Target::NearMiss));
    (target, 0, "")
}

/// Number of segments before the version; of all segments without one.
fn without_version(before: &[&str]) -> usize {
    match before {
        [mounted @ .., "v1"] => mounted.len(),
        _ => before.len(),
    }
}

/// Whether a call of `api` after `before`, which has no version, can only be that of an LLM API.
fn is_certain(before: &[&str], api: Api) -> bool {
    let last = before.last();
    api == Api::OpenAiChat || last.is_none_or(|last| VENDORS.contains(last))
}

/// The number of segments before the deployment at the end of `before`, and its name, which may hold slashes.
fn find_deployment(whole: &[&str], before: &[&str]) -> Option<(usize, String)> {
    let is_one = |segment: &&str| matches!(*segment, "deployments" | "engines");
    let at = before.iter().rposition(is_one)?;
    let end = without_version(before);
    let name = whole.get(at + 1..end).filter(|name| !name.is_empty())?;
    let mounted = match before.get(..at)? {
        [mounted @ .., "openai", "v1"] | [mounted @ .., "openai" | "v1"] => mounted.len(),
        mounted => mounted.len(),
    };
    Some((mounted, name.join("/")))
}

/// The list of models, one of them, the dry run, or feedback.
fn models(whole: &[&str], folded: &[&str]) -> Option<Target> {
    let is_base = |before: &[&str]| {
        let versioned = without_version(before) < before.len();
        versioned || before.is_empty() || before == ["openai"]
    };
    if let [before @ .., "route"] = folded
        && before == ["v1"]
    {
        return Some(Target::Route);
    }
    if folded == ["v1", "feedback"] {
        return Some(Target::Feedback);
    }
    let at = folded.iter().position(|segment| *segment == "models")?;
    if !is_base(folded.get(..at)?) {
        return None;
    }
    let name = whole.get(at + 1..)?;
    // `models/NAME:generateContent` is a call.
    let calls = folded.last().is_some_and(|last| has_verb(last));
    match name {
        [] => Some(Target::Models),
        _ if calls => None,
        _ => Some(Target::Model(name.join("/"))),
    }
}

fn has_verb(segment: &str) -> bool {
    let verb = segment.rsplit_once(':').map(|(_, verb)| verb);
    verb.is_some_and(|verb| VERBS.contains(&verb))
}

/// The API that a path almost names.
fn near_miss(folded: &[&str]) -> Option<Api> {
    if folded.last().is_some_and(|last| has_verb(last)) {
        return Some(Api::OpenAiChat);
    }
    let behind = folded.get(version_end(folded)..).unwrap_or_default();
    let fits = |pattern: &[&str], path: &[&str]| {
        let mut pairs = pattern.iter().zip(path);
        pattern.len() == path.len()
            && pairs.all(|(wanted, segment)| *wanted == "*" || wanted == segment)
    };
    let mut undecided = UNDECIDED.iter();
    if let Some((_, api)) =
        undecided.find(|(pattern, _)| fits(pattern, folded) || fits(pattern, behind))
    {
        return Some(*api);
    }
    below(folded).or_else(|| misspelt(folded))
}

/// Index of the segment after the last version, such as `v1` or `v1beta`; 0 without one.
fn version_end(folded: &[&str]) -> usize {
    let is_version = |segment: &&str| {
        let digits = segment.strip_prefix('v').unwrap_or_default();
        digits.starts_with(|letter: char| letter.is_ascii_digit()) && digits.len() <= 8
    };
    folded.iter().rposition(is_version).map_or(0, |at| at + 1)
}

/// The API of a path below one of its calls; paths of stored objects do not count.
fn below(folded: &[&str]) -> Option<Api> {
    for row in CALLS {
        for at in 0..folded.len().saturating_sub(row.tail.len()) {
            let before = folded.get(..at).unwrap_or_default();
            let rest = folded.get(at..).unwrap_or_default();
            let Some([next, ..]) = rest.strip_prefix(row.tail) else {
                continue;
            };
            let is_mounted = without_version(before) < before.len() || is_certain(before, row.api);
            if is_mounted || find_deployment(before, before).is_some() {
                let is_kept = IDS.iter().any(|id| next.starts_with(id));
                return (!is_kept).then_some(row.api);
            }
        }
    }
    None
}

/// The API of a misspelt call: at most two letters differ, or the way the words are joined.
fn misspelt(folded: &[&str]) -> Option<Api> {
    const MOST: usize = 2;
    const LONGEST: usize = 40;
    let deployment = folded.iter().rposition(|segment| *segment == "deployments");
    let vendor = folded.iter().rposition(|segment| VENDORS.contains(segment));
    let ends = [
        version_end(folded),
        deployment.map_or(0, |at| at + 2),
        vendor.map_or(0, |at| at + 1),
    ];
    let end = ends.into_iter().max().unwrap_or_default();
    let behind = folded.get(end..).unwrap_or_default();
    // A single word at the root could be anything.
    if end == 0 && behind.len() < 2 {
        return None;
    }
    let written: String = behind.join("/");
    if written.len() < 6 || written.len() > LONGEST {
        return None;
    }
    let is_meant = |row: &&Row| {
        let wanted = row.tail.join("/");
        distance(written.as_bytes(), wanted.as_bytes()) <= MOST
    };
    CALLS.iter().find(is_meant).map(|row| row.api)
}

/// Levenshtein's distance, in bytes.
fn distance(left: &[u8], right: &[u8]) -> usize {
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, here) in left.iter().enumerate() {
        let mut now = vec![row + 1];
        for ((there, diagonal), above) in right.iter().zip(&last).zip(last.iter().skip(1)) {
            let before = now.last().copied().unwrap_or_default();
            let cost = (diagonal + usize::from(here != there))
                .min(above + 1)
                .min(before + 1);
            now.push(cost);
        }
        last = now;
    }
    last.last().copied().unwrap_or_default()
}

fn segments(path: &str) -> Vec<&str> {
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .collect()
}

fn join(segments: &[&str]) -> String {
    segments
        .iter()
        .flat_map(|segment| ["/", *segment])
        .collect()
}

/// The path without query, decoded, with `\` read as `/`, and without parameters, empty and dot segments and a `/` at the end.
///
/// ```
/// assert_eq!(pointsman::api::path::normalise("/a//b/./c%2Fd/../e/?q"), "/a/b/c/e");
/// ```
pub fn normalise(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or(path);
    let decoded = decode(path);
    let mut kept: Vec<&str> = Vec::new();
    for segment in decoded.split(['/', '\\']) {
        let segment = segment.split(';').next().unwrap_or(segment);
        let segment =
            segment.trim_matches(|letter: char| letter.is_whitespace() || letter.is_control());
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            _ => kept.push(segment),
        }
    }
    if kept.is_empty() {
        return "/".to_owned();
    }
    join(&kept)
}

/// Percent-decodes until nothing changes, at most three times: how often the servers behind the proxy decode is unknown.
fn decode(path: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(path);
    for _ in 0..3 {
        match decode_once(&text) {
            Some(decoded) => text = Cow::Owned(decoded),
            None => break,
        }
    }
    text
}

/// `None` if nothing is encoded. Bytes that are not UTF-8 become U+FFFD.
fn decode_once(path: &str) -> Option<String> {
    let mut rest = path.as_bytes();
    let mut decoded = Vec::new();
    let mut found = false;
    while let [first, behind @ ..] = rest {
        let digit = |at: usize| {
            let byte = behind.get(at).copied()?;
            char::from(byte).to_digit(16)
        };
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                rest = behind.get(2..).unwrap_or_default();
                found = true;
            }
            _ => {
                decoded.push(*first);
                rest = behind;
            }
        }
    }
    found.then(|| String::from_utf8_lossy(&decoded).into_owned())
}

/// Percent-encodes whatever RFC 3986 does not allow in a path.
fn encode(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@/".contains(&byte);
        if is_plain {
            encoded.push(char::from(byte));
        } else {
            const DIGITS: [char; 16] = [
                '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
            ];
            let digit = |bits: u8| DIGITS.get(usize::from(bits)).copied().unwrap_or('0');
            encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    encoded
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
