//! The judge: a second model that is asked how hard a prompt is where the classifier cannot tell, and maybe how good answers are.
//! Fields and compilation; what they compile to is in `settings`, the warnings are in [`lint`].
//!
//! What is worth asking, and what an answer changes, is for `routing`; nothing is asked here.

pub(crate) mod lint;
mod settings;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use settings::{Evidence, Judge, JudgeCache, JudgeMode, JudgePrice};

use crate::api::judge::JudgeApi;
use crate::fleet::Endpoint;
use crate::policy::backends::credentials::{JUDGE_CREDENTIALS, compile_credentials};
use crate::policy::backends::endpoint::{check_cluster, parse_endpoint};
use crate::schema::document::Node;
use crate::schema::problems::Problems;
use crate::schema::shape::{AT_LEAST_ZERO, FRACTION, Field, Kind, Shape, optional, required};
use crate::schema::suggest::quote;

pub(crate) const JUDGE_FIELD: Field = optional(
    "judge",
    Kind::Object(&JUDGE),
    "the classifier alone decides",
    "A second model that is asked how hard a prompt is, if its answer could change the choice and that is worth more than asking.",
);

/// The names of [`JudgeApi`].
const APIS: &[&str] = &["chat", "classify", "predict", "decisions"];

/// `judge` of the policy.
pub const JUDGE: Shape = Shape {
    name: "judge",
    doc: "The judge reads a prompt and grades how hard it is; with `grade_share` it grades answers, too. Its grade is evidence: it moves the classifier's difficulty by as much as `evidence` says that it is worth. A request waits for it at most `deadline_ms`; without a good answer the classifier decides. Never asked about: requests for a named model, agents' tool results, prompts whose rules demand tags that the judge does not have. See [the judge](judge.md).",
    fields: &[
        optional(
            "mode",
            Kind::Choice(&["enforce", "shadow", "off"]),
            "`enforce`",
            "`enforce` waits for the judge's answer and decides by it. `shadow` asks without making the request wait, and only reports what the answer would have changed. `off` asks nothing.",
        ),
        required(
            "cluster",
            Kind::Text,
            "The Envoy cluster that is called. Its credentials are the cluster's own; no header of the client is sent there.",
        ),
        optional(
            "credentials",
            Kind::Object(&JUDGE_CREDENTIALS),
            "none, or what the cluster adds by itself",
            "The credentials that `pointsman render` writes into the judge's cluster.",
        ),
        optional(
            "endpoint",
            Kind::Text,
            "the cluster is defined elsewhere",
            "The address, for `pointsman render`: `http://HOST:PORT` or `https://HOST`, with an optional path that is put before `path`.",
        ),
        optional(
            "authority",
            Kind::Text,
            "host and port of `endpoint`, else the cluster's name",
            "The `:authority` header of the call.",
        ),
        optional(
            "path",
            Kind::Text,
            "that of the `api`: `/v1/chat/completions`, `/classify`, `/predict` or `/v1/decisions`",
            "The path of the call.",
        ),
        optional(
            "api",
            Kind::Choice(APIS),
            "`chat`",
            "The dialect. `chat` is OpenAI's Chat Completions: one token is asked for, with the probabilities of the ten grades if the server states them. `classify` is vLLM's `/classify` and `predict` is text-embeddings-inference's `/predict`: an encoder with classes from the hardest to the easiest. `decisions` is OpenAI's `/v1/decisions`: one question of the type `score`.",
        ),
        optional(
            "model",
            Kind::Text,
            "none is named, which only `predict` allows",
            "The name of the model in the call.",
        ),
        optional(
            "ask",
            Kind::Text,
            "Pointsman's own text",
            "The instructions, in place of Pointsman's own. They must ask for one digit from 0 (the hardest prompts) to 9 (the easiest), or for ten levels in this order.",
        ),
        optional(
            "deadline_ms",
            Kind::Integer {
                min: 1.0,
                max: 10_000.0,
            },
            "`150`",
            "The longest time that a request waits for the judge, in milliseconds.",
        ),
        optional(
            "max_share",
            FRACTION,
            "`0.3`",
            "The largest share of the decided requests that is asked about, in each worker. Of the requests that are worth it, the most valuable are asked about.",
        ),
        optional(
            "max_usd_per_hour",
            AT_LEAST_ZERO,
            "no limit",
            "The most that the judge may cost within an hour in each worker, by `price`.",
        ),
        optional(
            "min_gain_usd",
            AT_LEAST_ZERO,
            "`0`",
            "The least expected gain of asking, in USD, above the price of the question and of the wait. See [the judge](judge.md) for how it is computed.",
        ),
        optional(
            "price",
            Kind::Object(&JUDGE_PRICE),
            "free",
            "The prices of the judge's tokens, which count in budgets and totals.",
        ),
        optional(
            "tags",
            Kind::List {
                of: &Kind::Text,
                min: 0,
            },
            "none",
            "The judge's labels, such as `on-prem` or `eu`. A prompt is sent to it only if it has every tag that the rules and the profile of the request demand of a backend.",
        ),
        optional(
            "grade_share",
            FRACTION,
            "`0`",
            "The share of the answers that the judge grades after they were delivered: an outcome to learn from, as feedback is. It gets the first 8,192 bytes of prompt and answer. Not graded are errors, answers that are empty, cut off or call tools, answers to agents' tool results, and those whose rules demand tags that the judge does not have. Grading may take half of `max_usd_per_hour`; all of it if `max_share` is 0. See [the judge](judge.md#grading-answers).",
        ),
        optional(
            "grade_ask",
            Kind::Text,
            "Pointsman's own text",
            "The instructions for grading answers, in place of Pointsman's own. They must ask for one digit from 0 (useless) to 9 (right and complete), or for ten levels in this order.",
        ),
        optional(
            "grade_model",
            Kind::Text,
            "`model`",
            "The name of the model in calls that grade answers, if it is another one at the same cluster. Needed with `classify` unless `max_share` is 0: an encoder has learned one question.",
        ),
        optional(
            "cache",
            Kind::Object(&JUDGE_CACHE),
            "4096 answers for an hour",
            "Answers that are kept, so that a prompt is not asked about twice.",
        ),
        optional(
            "evidence",
            Kind::Object(&EVIDENCE),
            "that of a judge whose grades err by about one logit",
            "What a grade is worth. `pointsman calibrate` fits it to recorded grades, with `--judge`.",
        ),
    ],
};

/// `price` of `judge`.
pub const JUDGE_PRICE: Shape = Shape {
    name: "judge price",
    doc: "USD per 1,000,000 tokens.",
    fields: &[
        optional("input", AT_LEAST_ZERO, "`0`", "Tokens of the question."),
        optional("output", AT_LEAST_ZERO, "`0`", "Tokens of the answer."),
    ],
};

/// `cache` of `judge`.
pub const JUDGE_CACHE: Shape = Shape {
    name: "judge cache",
    doc: "Answers by a keyed hash of the prompt, shared by all workers. Neither prompts nor answers are kept as text.",
    fields: &[
        optional(
            "entries",
            Kind::Integer {
                min: 0.0,
                max: 65_536.0,
            },
            "`4096`",
            "The most answers; 0 keeps none.",
        ),
        optional(
            "ttl_s",
            Kind::Integer {
                min: 1.0,
                max: 2_592_000.0,
            },
            "`3600`",
            "Seconds for which an answer is used.",
        ),
    ],
};

/// `evidence` of `judge`.
pub const EVIDENCE: Shape = Shape {
    name: "evidence",
    doc: "With the grade g (0 for the hardest prompts to 1 for the easiest) the judge states the ease `slope · logit(g) + intercept`, in the classifier's logits (ease is the negative difficulty), with the error variance `variance`. The classifier's own ease and this one are averaged, each weighted by its precision. A slope of 0 says that the judge is noise: it is not asked.",
    fields: &[
        optional(
            "slope",
            Kind::Number {
                min: 0.0,
                max: 10.0,
            },
            "`0.9`",
            "Logits of ease per logit of the grade.",
        ),
        optional(
            "intercept",
            Kind::Number {
                min: -20.0,
                max: 20.0,
            },
            "`0.2`",
            "Ease at the grade 0.5, in logits.",
        ),
        optional(
            "variance",
            Kind::Number {
                min: 0.01,
                max: 1000.0,
            },
            "`0.75`",
            "The variance of the judge's error, in squared logits.",
        ),
    ],
};

/// Compiles `judge`; `None` if there is none, or its mode is `off`.
#[inline(never)]
pub(crate) fn compile_judge(root: &Node, problems: &mut Problems<'_>) -> Option<Judge> {
    let node = root.get("judge")?;
    if let Some(cluster) = node.get("cluster") {
        let name = cluster.text().unwrap_or_default();
        check_cluster(cluster, name, "judge.cluster", problems);
    }
    let endpoint = compile_endpoint(node, problems);
    let api = node.text_of("api").and_then(JudgeApi::find);
    let api = api.unwrap_or(JudgeApi::Chat);
    if node.get("model").is_none() && api != JudgeApi::Predict {
        let message = format!("missing field `model`, which `api` `{}` needs", api.name());
        problems.add(node.at, "judge", message);
    }
    let cluster = node.text_of("cluster").unwrap_or_default();
    let usual = Judge::default();
    let judge = Judge {
        mode: match node.text_of("mode") {
            Some("off") => JudgeMode::Off,
            Some("shadow") => JudgeMode::Shadow,
            _ => usual.mode,
        },
        cluster: cluster.to_owned(),
        credentials: compile_credentials(node, "judge", problems),
        authority: compile_authority(node, endpoint.as_ref(), cluster, problems),
        path: compile_path(node, endpoint.as_ref(), api, problems),
        endpoint,
        api,
        model: node.text_of("model").unwrap_or_default().to_owned(),
        ask: node.text_of("ask").map(str::to_owned),
        deadline_ms: whole(node, "deadline_ms", usual.deadline_ms),
        max_share: number(node, "max_share", usual.max_share),
        max_usd_per_hour: number(node, "max_usd_per_hour", usual.max_usd_per_hour),
        min_gain_usd: number(node, "min_gain_usd", usual.min_gain_usd),
        price: node.get("price").map_or(usual.price, |price| JudgePrice {
            input: number(price, "input", 0.0),
            output: number(price, "output", 0.0),
        }),
        tags: node.sorted_texts_of("tags"),
        grade_share: number(node, "grade_share", usual.grade_share),
        grade_ask: node.text_of("grade_ask").map(str::to_owned),
        grade_model: node.text_of("grade_model").map(str::to_owned),
        cache: node.get("cache").map_or(usual.cache, |cache| JudgeCache {
            entries: whole(cache, "entries", usual.cache.entries),
            ttl_s: whole(cache, "ttl_s", usual.cache.ttl_s),
        }),
        evidence: node
            .get("evidence")
            .map_or(usual.evidence, |evidence| Evidence {
                slope: number(evidence, "slope", usual.evidence.slope),
                intercept: number(evidence, "intercept", usual.evidence.intercept),
                variance: number(evidence, "variance", usual.evidence.variance),
            }),
    };
    check_grading(&judge, node, problems);
    (judge.mode != JudgeMode::Off).then_some(judge)
}

/// Refuses to let one encoder answer two questions: it has learned either how hard prompts or how good answers are.
fn check_grading(judge: &Judge, node: &Node, problems: &mut Problems<'_>) {
    let cause = match judge.api {
        JudgeApi::Chat | JudgeApi::Decisions => return,
        JudgeApi::Classify if judge.grade_model.is_some() => return,
        JudgeApi::Classify => "name the model that grades answers by `grade_model`",
        JudgeApi::Predict => "let it only grade answers",
    };
    if judge.grade_share > 0.0 && judge.asks_about_prompts() {
        let api = judge.api.name();
        let message = format!(
            "an encoder behind `{api}` answers one question, and is asked about prompts: {cause}, or set `max_share` to 0"
        );
        problems.add(node.offset_of("grade_share"), "judge.grade_share", message);
    }
}

fn whole(node: &Node, name: &str, usual: u32) -> u32 {
    node.number_of(name).map_or(usual, |number| number as u32)
}

fn number(node: &Node, name: &str, usual: f64) -> f64 {
    node.number_of(name).unwrap_or(usual)
}

fn compile_endpoint(node: &Node, problems: &mut Problems<'_>) -> Option<Endpoint> {
    let written = node.text_of("endpoint")?;
    parse_endpoint(written)
        .map_err(|problem| {
            let message = format!("{} {problem}", quote(written));
            problems.add(node.offset_of("endpoint"), "judge.endpoint", message);
        })
        .ok()
}

/// The authority: as stated, else host and port of the endpoint, else the cluster's name where that is one.
fn compile_authority(
    node: &Node,
    endpoint: Option<&Endpoint>,
    cluster: &str,
    problems: &mut Problems<'_>,
) -> String {
    if let Some(written) = node.text_of("authority") {
        if !written.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = format!("{} is not a valid authority", quote(written));
            problems.add(node.offset_of("authority"), "judge.authority", message);
        }
        return written.to_owned();
    }
    let Some(endpoint) = endpoint else {
        return cluster.to_owned();
    };
    let host = match endpoint.host.contains(':') {
        true => format!("[{}]", endpoint.host),
        false => endpoint.host.clone(),
    };
    match (endpoint.tls, endpoint.port) {
        (true, 443) | (false, 80) => host,
        (_, port) => format!("{host}:{port}"),
    }
}

/// The path: as stated, else that of the dialect, behind the endpoint's own; a version that both have stands there once.
fn compile_path(
    node: &Node,
    endpoint: Option<&Endpoint>,
    api: JudgeApi,
    problems: &mut Problems<'_>,
) -> String {
    let written = node.text_of("path");
    if let Some(path) = written
        && (!path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()))
    {
        let message = format!("{} is not a path", quote(path));
        problems.add(node.offset_of("path"), "judge.path", message);
    }
    let base = endpoint.map_or("", |endpoint| endpoint.path.as_str());
    let path = written.unwrap_or(api.default_path());
    let rest = match base.ends_with("/v1") {
        true => path.strip_prefix("/v1").unwrap_or(path),
        false => path,
    };
    [base, rest].concat()
}
