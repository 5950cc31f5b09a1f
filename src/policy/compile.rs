//! Compiles a document to a [`Policy`]: the fields at its top, and the order in which the subjects compile.
//!
//! The check of the form has already reported what is wrong with it. Compilation passes over a value of the wrong form in
//! silence and goes on, so that one pass finds every problem; it gives a policy only if there was none.

use crate::fleet::{Backend, BackendId, Model, ModelId, Registry};
use crate::policy::backends::{BACKEND, compile_backends};
use crate::policy::compiled::{DecisionHeaders, Policy};
use crate::policy::draw::fingerprint;
use crate::policy::judge::{JUDGE_FIELD, compile_judge};
use crate::policy::learning::{LEARNING_FIELD, compile_learning};
use crate::policy::lint::lint;
use crate::policy::models::{MODEL, compile_models};
use crate::policy::names::ModelNames;
use crate::policy::profiles::{PROFILE, compile_profiles};
use crate::policy::receipts::{RECEIPTS_FIELD, compile_receipts};
use crate::policy::request_attributes::client_preferences::STEERING_FIELD;
use crate::policy::request_attributes::tenant::TENANT_FIELD;
use crate::policy::revision::REVISION_FIELD;
use crate::policy::rules::then::Known;
use crate::policy::rules::{RULE, compile_rules};
use crate::policy::traffic::budgets::BUDGETS_FIELD;
use crate::policy::traffic::undecided::{
    UNDECIDED_FIELD, UNKNOWN_MODEL_FIELD, compile_on_undecided, compile_on_unknown_model,
};
use crate::policy::traffic::{
    EXPLORATION_RATE_FIELD, FOREIGN_STATE_FIELD, MISSING_MODEL_FIELD, MODE_FIELD,
    MODELS_ENDPOINT_FIELD, ROUTE_ENDPOINT_FIELD, STICKINESS_FIELD, compile_traffic,
};
use crate::schema::document::{self, Node};
use crate::schema::problems::{Problems, check_unique};
use crate::schema::shape::{Kind, Shape, check, optional, required};
use crate::schema::suggest::{quote, unknown};
use crate::schema::{InvalidDocument, Problem};

/// The whole document.
pub const POLICY: Shape = Shape {
    name: "policy",
    doc: "The models, where they run, and the objectives by which one is chosen.",
    fields: &[
        optional(
            "version",
            Kind::Text,
            "a hash of the text",
            "The operator's name for this version, shown in logs, metrics and headers.",
        ),
        REVISION_FIELD,
        optional(
            "default_cluster",
            Kind::Text,
            "the cluster of the first backend",
            "The Envoy cluster for requests without a decision.",
        ),
        optional(
            "default_profile",
            Kind::Text,
            "`auto`",
            "The profile for requests that name no model.",
        ),
        UNDECIDED_FIELD,
        UNKNOWN_MODEL_FIELD,
        optional(
            "decision_headers",
            Kind::Choice(&["off", "minimal", "full"]),
            "`full`",
            "The amount of detail about a decision in response headers.",
        ),
        optional(
            "latency_source",
            Kind::Choice(&["observed", "declared"]),
            "`observed`",
            "The latencies that decisions use. `observed` corrects the declared latencies by measured ones, and avoids backends that fail; `declared` does neither.",
        ).formerly(&["latencies"]).formerly_with(&[("stated", "declared")]),
        optional(
            "max_body_bytes",
            Kind::Integer {
                min: 1024.0,
                max: 67_108_864.0,
            },
            "`1048576`",
            "The maximum number of body bytes that are read in full. If the body is longer, only its first part is used, along with its short fields (`model`, `max_tokens`, `user`) wherever they are.",
        ),
        optional(
            "max_scan_bytes",
            Kind::Integer {
                min: 1024.0,
                max: 67_108_864.0,
            },
            "`8388608`",
            "The maximum number of body bytes that Envoy holds back while Pointsman looks for `model` and other short fields. Keep it below Envoy's own buffer limits (listener and virtual host): beyond those Envoy answers 413. If `content-length` is larger, only the first part of the body is used.",
        ),
        optional(
            "baseline",
            Kind::Text,
            "no savings are counted",
            "The model that requests would go to without a router. Savings compare the cost of each request with its cost at the first backend of this model.",
        ),
        optional(
            "stream_usage",
            Kind::Choice(&["on_request", "always"]),
            "`on_request`",
            "Whether streams of OpenAI's chat and completions APIs report their usage: only if the client asks by `stream_options.include_usage`, or always, so that every request is priced. A client that did not ask does not see the usage event.",
        ).formerly_with(&[("as_asked", "on_request")]),
        required(
            "models",
            Kind::List {
                of: &Kind::Object(&MODEL),
                min: 1,
            },
            "The logical models that clients can ask for.",
        ),
        required(
            "backends",
            Kind::List {
                of: &Kind::Object(&BACKEND),
                min: 1,
            },
            "The deployments of the models.",
        ),
        optional(
            "profiles",
            Kind::Map {
                of: &Kind::Object(&PROFILE),
                keys: &[],
            },
            "`auto`, `auto:cheap`, `auto:fast` and `auto:best`, which are always there",
            "Named objectives that clients ask for as their `model`.",
        ),
        optional(
            "rules",
            Kind::List {
                of: &Kind::Object(&RULE),
                min: 0,
            },
            "none",
            "Conditions on a request, and their consequences.",
        ),
        TENANT_FIELD,
        STEERING_FIELD,
        MODE_FIELD,
        EXPLORATION_RATE_FIELD,
        STICKINESS_FIELD,
        FOREIGN_STATE_FIELD,
        BUDGETS_FIELD,
        RECEIPTS_FIELD,
        LEARNING_FIELD,
        JUDGE_FIELD,
        ROUTE_ENDPOINT_FIELD,
        MODELS_ENDPOINT_FIELD,
        MISSING_MODEL_FIELD,
    ],
};

const DEFAULT_MAX_BODY_BYTES: usize = 1_048_576;

/// The listener's limit in every configuration that is shipped.
const DEFAULT_MAX_SCAN_BYTES: usize = 8 << 20;

impl Policy {
    /// Compiles a policy from its JSON text.
    ///
    /// # Errors
    /// [`InvalidDocument`] with every problem of the document, each naming its place.
    pub fn compile(json: &str) -> Result<Policy, InvalidDocument> {
        resolve(json, &read(json)?)
    }

    /// Compiles a policy and gives, alongside it, everything in it that is allowed but probably not meant, in the order of
    /// the document. Slower than [`Policy::compile`]: for people who write policies.
    ///
    /// # Errors
    /// As [`Policy::compile`].
    pub fn check(json: &str) -> Result<(Policy, Vec<Problem>), InvalidDocument> {
        let root = read(json)?;
        let policy = resolve(json, &root)?;
        let mut warnings = Problems::new(json);
        lint(&policy, &root, &mut warnings);
        Ok((policy, warnings.into_list()))
    }
}

fn read(text: &str) -> Result<Node, InvalidDocument> {
    document::read(text).map_err(|problem| InvalidDocument {
        problems: vec![problem],
    })
}

fn resolve(text: &str, root: &Node) -> Result<Policy, InvalidDocument> {
    let mut problems = Problems::new(text);
    check(&Kind::Object(&POLICY), root, "", &mut problems);
    let models = compile_models(root, &mut problems);
    let backends = compile_backends(root, &models, &mut problems);
    let profiles = compile_profiles(root, &models, &backends, &mut problems);
    let names = ModelNames::compile(root, &models, &backends, &profiles, &mut problems);
    let known = Known {
        models: &models,
        backends: &backends,
        profiles: &profiles,
    };
    let (rules, words) = compile_rules(root, &known, &mut problems);
    check_unique(root.items_of("rules"), "rules", &mut problems);
    check_unique(root.items_of("budgets"), "budgets", &mut problems);
    let traffic = compile_traffic(text, root, &known, &rules, &mut problems);
    let default_profile = root.text_of("default_profile").unwrap_or("auto");
    let profile_names = known.profile_names();
    if !profile_names.contains(&default_profile) {
        let at = root.offset_of("default_profile");
        let message = unknown("profile", default_profile, &profile_names);
        problems.add(at, "default_profile", message);
    }
    let baseline = compile_baseline(root, &models, &backends, &mut problems);
    let judge = compile_judge(root, &mut problems);
    problems.into_result()?;
    let default_cluster = root
        .text_of("default_cluster")
        .or_else(|| backends.first().map(|backend| backend.cluster.as_str()))
        .unwrap_or_default()
        .to_owned();
    Ok(Policy {
        version: root
            .text_of("version")
            .map_or_else(|| format!("{:016x}", fingerprint(text)), str::to_owned),
        revision: root.number_of("revision").map(|number| number as u64),
        default_cluster,
        undecided: compile_on_undecided(root),
        on_unknown_model: compile_on_unknown_model(root),
        names,
        decision_headers: compile_decision_headers(root),
        baseline,
        always_stream_usage: root.text_of("stream_usage") == Some("always"),
        observes: root.text_of("latency_source") != Some("declared"),
        max_body_bytes: bytes_of(root, "max_body_bytes", DEFAULT_MAX_BODY_BYTES),
        max_scan_bytes: bytes_of(root, "max_scan_bytes", DEFAULT_MAX_SCAN_BYTES),
        registry: Registry { models, backends },
        profiles,
        rules,
        words,
        default_profile: default_profile.to_owned(),
        traffic,
        receipts: compile_receipts(root),
        learning: compile_learning(root),
        judge,
    })
}

fn compile_decision_headers(root: &Node) -> DecisionHeaders {
    match root.text_of("decision_headers") {
        Some("off") => DecisionHeaders::Off,
        Some("minimal") => DecisionHeaders::Minimal,
        _ => DecisionHeaders::Full,
    }
}

/// The first backend of the model that requests would go to without a router.
fn compile_baseline(
    root: &Node,
    models: &[Model],
    backends: &[Backend],
    problems: &mut Problems<'_>,
) -> Option<BackendId> {
    let name = root.text_of("baseline")?;
    let at = root.offset_of("baseline");
    let Some(model) = models.iter().position(|model| model.name == name) else {
        let known: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
        problems.add(at, "baseline", unknown("model", name, &known));
        return None;
    };
    let model = ModelId(model as u32);
    let first = backends.iter().position(|backend| backend.model == model);
    if first.is_none() {
        let message = format!("no backend serves {}, so it has no price", quote(name));
        problems.add(at, "baseline", message);
    }
    first.map(|index| BackendId(index as u32))
}

/// A number of bytes, `usual` if it is not stated.
fn bytes_of(node: &Node, name: &str, usual: usize) -> usize {
    node.number_of(name).map_or(usual, |number| number as usize)
}
