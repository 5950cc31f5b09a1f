//! Decisions of the real router, as receipts, replayed.

use super::*;
use pointsman::api::{Api, request};
use pointsman::policy::request_attributes::RequestAttributes;
use pointsman::routing::decision::{Decision, Reason};
use pointsman::routing::router::{Commit, RequestInfo, Router};
use pointsman::state::receipt::{Flags, Key, RequestTraits};
use serde_json::{Value, json};

const FLEET: &str = r#"
  "models": [{"name": "small", "benchmarks": {"mmlu": 0.68, "gsm8k": 0.75}},
             {"name": "large", "benchmarks": {"mmlu": 0.86, "math": 0.77}, "capabilities": ["tools", "vision"]}],
  "backends": [
    {"name": "cpu", "model": "small", "price": {"input": 0.05, "output": 0.08}},
    {"name": "gpu", "model": "large", "price": {"input": 0.6, "output": 0.9}},
    {"name": "cloud", "model": "large", "price": {"input": 2.5, "output": 10}, "latency": {"first_token_ms": {"p50": 90, "p99": 200}}}],
  "default_cluster": "gpu", "receipts": {"mode": "on"}, "tenant": {"header": "x-tenant"}"#;

fn policy(more: &str) -> Policy {
    Policy::compile(&format!("{{{FLEET}{more}}}")).unwrap()
}

fn root() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Prompts of the repository.
fn prompts() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("tests/data/prompts.jsonl")).unwrap();
    let rows = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.filter_map(|row| Some(row["prompt"].as_str()?.to_owned()))
        .collect()
}

/// The receipt of a decision, as an access log has it and as it is read again.
fn receipt(policy: &Policy, decision: &Decision, body: &Value, tenant: Option<&str>) -> Receipt {
    let bytes = body.to_string();
    let request = request::parse(Api::OpenAiChat, bytes.as_bytes(), true).unwrap();
    let registry = &policy.registry;
    let model = &registry.model(decision.model).unwrap().name;
    let text = Receipt {
        policy: policy.fingerprint32(),
        time_s: 1_764_535_507,
        nonce: pointsman::policy::draw::hash([bytes.as_str()]),
        model: name_key(model),
        backend: name_key(&registry.backend(decision.backend).unwrap().name),
        runner_up: None,
        profile: name_key(&decision.profile),
        p: 0.5,
        runner_up_p: 0.0,
        propensity: decision.propensity,
        flags: Flags {
            is_pinned: decision.reason == Reason::Pinned,
            begins: decision.begins,
            ..Flags::default()
        },
        request: RequestTraits {
            api: Api::OpenAiChat,
            needs: request.needs,
            input_tokens: decision.input_tokens,
            window_tokens: decision.window_tokens,
            max_tokens: request.max_tokens,
            choices: request.choices,
        },
        tenant: tenant.map(name_key),
        classifier: FINGERPRINT,
        classification: decision.classification.clone().unwrap(),
    }
    .encode(&Key::new(b"a key of some length").unwrap());
    Receipt::decode_trusted(&text).unwrap()
}

/// The receipts of requests; those that are not routed have none.
fn receipts(
    router: &mut Router,
    policy: &Policy,
    bodies: &[Value],
    tenant: Option<&str>,
) -> Vec<Receipt> {
    let attributes = RequestAttributes {
        tenant: tenant.map(str::to_owned),
        ..RequestAttributes::default()
    };
    let info = RequestInfo::new(&attributes, u64::MAX);
    let decided = bodies.iter().filter_map(|body| {
        let bytes = body.to_string();
        let request = request::parse(Api::OpenAiChat, bytes.as_bytes(), true).unwrap();
        match router.decide(policy, &request, &info, Commit::DryRun) {
            Outcome::Routed(decision) => Some(receipt(policy, &decision, body, tenant)),
            _ => None,
        }
    });
    decided.collect()
}

/// Requests of every kind that receipts tell apart.
fn bodies() -> Vec<Value> {
    let tool =
        json!({"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}});
    let prompts = prompts();
    let variants = prompts.iter().enumerate().map(|(place, prompt)| {
        let mut body = json!({"messages": [{"role": "user", "content": prompt}]});
        match place % 7 {
            0 => body["model"] = json!("auto:cheap"),
            1 => body["max_tokens"] = json!(16 + place),
            2 => body["tools"] = json!([tool]),
            3 => body["model"] = json!("auto:best"),
            4 => body["n"] = json!(3),
            5 => body["response_format"] = json!({"type": "json_object"}),
            _ => body["model"] = json!("auto:fast"),
        }
        body
    });
    variants.collect()
}

fn replayed(new: &Policy, old: Option<&Policy>, receipts: &[Receipt]) -> Report {
    let mut replay = Replay::new(new, old);
    receipts.iter().for_each(|receipt| replay.add(receipt));
    replay.finish()
}

#[test]
fn the_policy_that_decided_decides_again_as_it_did() {
    let (mut router, _) = Router::new();
    let folder = root().join("envoy/policies");
    let bodies = bodies();
    let (mut all, mut same) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let mut document: Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        document["receipts"] = json!({"mode": "on"});
        // A mode that changes nothing, and rules that receipts can decide.
        document["mode"] = json!("enforce");
        document["exploration_rate"] = json!(0);
        if let Some(rules) = document.get_mut("rules").and_then(Value::as_array_mut) {
            rules.retain(|rule| {
                let when = rule["when"].as_object();
                let asked = [
                    "sensitive",
                    "words",
                    "headers",
                    "path",
                    "user",
                    "language",
                    "share",
                ];
                !when.is_some_and(|when| asked.iter().any(|name| when.contains_key(*name)))
            });
        }
        let policy = Policy::compile(&document.to_string()).unwrap();
        let receipts = receipts(&mut router, &policy, &bodies, None);
        assert!(receipts.len() > bodies.len() / 2, "{path:?}");
        let report = replayed(&policy, None, &receipts);
        assert_eq!(report.agreement.count, receipts.len() as u64);
        all += report.agreement.count;
        same += report.agreement.same;
        // Both sides read the same receipt, so nothing can be rounded differently.
        let twice = replayed(&policy, Some(&policy), &receipts);
        assert_eq!(
            (twice.changed, twice.counts.compared),
            (0, receipts.len() as u64)
        );
        assert_eq!(twice.total.before.cost_usd, twice.total.after.cost_usd);
    }
    // A receipt rounds, so that two candidates that are all but equal can change places.
    assert!(all > 2000 && same * 1000 >= all * 998, "{same} of {all}");
}

#[test]
fn a_cheaper_policy_moves_what_it_should() {
    let (mut router, _) = Router::new();
    let old = policy(
        r#", "default_profile": "careful", "profiles": {"careful": {"limits": {"min_quality": 0.99}}}"#,
    );
    let new = policy(
        r#", "default_profile": "careful", "profiles": {"careful": {"limits": {"min_quality": 0.99}}},
          "rules": [{"name": "easy", "when": {"max_difficulty": 0}, "then": {"models": ["small"]}}]"#,
    );
    let bodies: Vec<Value> = prompts()
        .iter()
        .map(|prompt| json!({"messages": [{"role": "user", "content": prompt}]}))
        .collect();
    let receipts = receipts(&mut router, &old, &bodies, Some("acme"));
    let easy = receipts
        .iter()
        .filter(|receipt| receipt.classification.difficulty <= 0.0);
    let easy = easy.count() as u64;
    assert!(easy > 20 && easy < receipts.len() as u64);
    for against in [None, Some(&old)] {
        let report = replayed(&new, against, &receipts);
        assert_eq!(report.counts.compared, receipts.len() as u64);
        let moved = report.models.iter().find(|(name, _)| name == "small");
        let moved = &moved.unwrap().1;
        assert!(moved.after.count >= easy, "{}", moved.after.count);
        assert!(report.total.cost_change() < 0.0);
        assert!(report.total.after.mean_quality() < report.total.before.mean_quality());
        let tenants: Vec<&str> = report
            .tenants
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        let key = format!("key {:08x}", name_key("acme"));
        assert_eq!(tenants, [key]);
        for (kind, example) in report.changes.examples() {
            assert_eq!((kind.to.as_str(), kind.why), ("cpu", "not_allowed"));
            assert!(example.difficulty <= 0.0, "{example:?}");
            assert!(example.why.contains("rules: easy"), "{}", example.why);
        }
        assert_eq!(
            report.agreement.count,
            if against.is_some() {
                report.counts.replayed
            } else {
                0
            }
        );
    }
}

/// One receipt of the policy with all three backends.
fn one() -> (Policy, Receipt) {
    let policy = policy("");
    let mut router = Router::with_features_only();
    let bodies = [json!({"messages": [{"role": "user", "content": "hello there"}]})];
    let receipts = receipts(&mut router, &policy, &bodies, None);
    (policy, receipts.into_iter().next().unwrap())
}

#[test]
fn refusals_strangers_and_copies_are_counted_and_in_no_figure() {
    let (old, first) = one();
    let refusing =
        policy(r#", "rules": [{"name": "never", "when": {}, "then": {"reject": "no"}}]"#);
    let report = replayed(&refusing, Some(&old), std::slice::from_ref(&first));
    let counts = &report.counts;
    assert_eq!(
        (counts.not_answered, counts.compared, report.changed),
        (1, 0, 1)
    );
    assert_eq!(report.changes.kinds()[0].0.to, "refused");
    let reversed = replayed(&old, Some(&refusing), std::slice::from_ref(&first));
    assert_eq!(reversed.counts.not_answered_before, 1);

    let mut stranger = first.clone();
    stranger.nonce += 1;
    stranger.backend = name_key("gone");
    let mut foreign = first.clone();
    foreign.nonce += 2;
    foreign.classifier ^= 1;
    let all = [first.clone(), first.clone(), stranger, foreign];
    let report = replayed(&old, None, &all);
    let counts = &report.counts;
    assert_eq!((counts.replayed, counts.repeated), (2, 1));
    assert_eq!((counts.other_classifier, counts.unknown_backend), (1, 1));
    assert_eq!((counts.compared, report.total.before.count), (1, 1));
}

#[test]
fn another_policy_than_the_old_one_is_named() {
    let (old, first) = one();
    let mut other = first.clone();
    other.nonce += 1;
    other.policy = 0xfeed_f00d;
    let report = replayed(&old, Some(&old), &[first, other]);
    let text = text::text(&report);
    assert!(
        text.contains("1 receipts were not decided by the old policy"),
        "{text}"
    );
    assert!(text.contains("feedf00d (1)"), "{text}");
    assert_eq!(report.agreement.count, 1);
}

#[test]
fn what_receipts_do_not_tell_is_counted_and_named() {
    let (_, mut receipt) = one();
    receipt.tenant = Some(name_key("acme"));
    receipt.flags.begins = false;
    let new = policy(
        r#", "steering": {"allow": ["min_quality"]}, "exploration_rate": 0.1, "stickiness": 0.1,
          "budgets": [{"name": "all", "usd": 5, "per": "day"}],
          "rules": [
            {"name": "cards", "when": {"sensitive": ["card"]}, "then": {"models": ["small"]}},
            {"name": "code only", "when": {"task": ["code"], "words": ["rust"]}, "then": {"models": ["small"]}},
            {"name": "trial", "when": {"tenant": ["trial-*"]}, "then": {"models": ["small"]}},
            {"name": "acme", "when": {"tenant": ["acme"]}, "then": {"models": ["large"]}}]"#,
    );
    let report = replayed(&new, None, &[receipt]);
    let rules: Vec<&str> = report
        .unknown
        .iter()
        .filter_map(|unknown| Some(unknown.rule.as_ref()?.0.as_str()))
        .collect();
    assert_eq!(
        rules,
        ["cards"],
        "the tenant is known, and the task is not code"
    );
    let causes: Vec<&str> = report.unknown.iter().map(|unknown| unknown.cause).collect();
    for cause in [
        "preferences",
        "exploration",
        "conversation",
        "budgets",
        "observed",
    ] {
        assert!(causes.contains(&cause), "{cause}: {causes:?}");
    }
    assert_eq!(report.tenants[0].0, "acme");
    let models: Vec<&str> = report
        .models
        .iter()
        .filter(|(_, own)| own.after.count > 0)
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        models,
        ["large"],
        "the rule for the tenant holds by its hash"
    );
}

#[test]
fn a_profile_that_a_rule_chose_is_not_taken_for_the_clients() {
    let mut router = Router::with_features_only();
    let imposing =
        policy(r#", "rules": [{"name": "r", "when": {}, "then": {"profile": "auto:best"}}]"#);
    let free = policy("");
    let bodies = [json!({"messages": [{"role": "user", "content": "hello there"}]})];
    let receipts = receipts(&mut router, &imposing, &bodies, None);
    assert_eq!(receipts[0].profile, name_key("auto:best"));
    let report = replayed(&free, Some(&imposing), &receipts);
    let plain = Router::with_features_only().route(
        &free,
        Api::OpenAiChat,
        bodies[0].to_string().as_bytes(),
        true,
    );
    let Outcome::Routed(plain) = plain else {
        panic!()
    };
    let chosen = free.registry.backend(plain.backend).unwrap();
    let after = report.backends.iter().find(|(_, own)| own.after.count > 0);
    assert_eq!(after.unwrap().0, chosen.name);
    assert!(
        report
            .unknown
            .iter()
            .any(|unknown| unknown.cause == "profile_imposed")
    );
}

#[test]
fn a_named_model_stays_named() {
    let mut router = Router::with_features_only();
    let old = policy("");
    let bodies =
        [json!({"model": "large", "messages": [{"role": "user", "content": "hello there"}]})];
    let receipts = receipts(&mut router, &old, &bodies, None);
    assert!(receipts[0].flags.is_pinned);
    let cheap = policy(r#", "default_profile": "auto:cheap""#);
    let report = replayed(&cheap, Some(&old), &receipts);
    let large = report
        .models
        .iter()
        .find(|(name, _)| name == "large")
        .unwrap();
    assert_eq!(large.1.after.count, 1);
    // A policy without the model refuses it, as it refuses any unknown name.
    let without = Policy::compile(
        r#"{"models": [{"name": "small"}], "receipts": {"mode": "on"},
            "backends": [{"name": "cpu", "model": "small", "price": {"input": 1, "output": 1}}]}"#,
    )
    .unwrap();
    let report = replayed(&without, Some(&old), &receipts);
    assert_eq!(report.counts.not_answered, 1);
    assert!(
        report
            .unknown
            .iter()
            .any(|unknown| unknown.cause == "model_missing")
    );
}

#[test]
fn reports_of_any_log_can_be_written() {
    let (policy, receipt) = one();
    for receipts in [vec![], vec![receipt]] {
        let report = replayed(&policy, Some(&policy), &receipts);
        let document = json::document(&report);
        assert_eq!(document["receipts"]["compared"], receipts.len());
        assert_eq!(document["before"], "policy");
        let page = html::page(&report);
        assert!(page.contains("</html>") && !page.contains("NaN"));
        assert!(text::text(&report).starts_with(&format!("{} receipts", receipts.len())));
    }
}
