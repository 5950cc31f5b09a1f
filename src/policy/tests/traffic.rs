//! Settings of all traffic: their compilation, and the text of every problem and warning about them.

use super::*;
use crate::policy::request_attributes::ClientPreference;
use crate::policy::request_attributes::OnInvalidPreference;

fn policy(members: &str, models: &str) -> String {
    format!(
        "{{{members}\n\"models\": [{models}],\n\"backends\": [{{\"name\": \"a\", \"model\": \"a\", \"price\": {{\"input\": 1, \"output\": 1}}, \"tags\": [\"eu\"]}}, {{\"name\": \"b\", \"model\": \"b\", \"price\": {{\"input\": 2, \"output\": 2}}, \"latency\": {{\"first_token_ms\": {{\"p50\": 1}}}}}}]}}"
    )
}

const MODELS: &str = r#"{"name": "a", "benchmarks": {"gpqa": 0.3, "gsm8k": 0.8, "humaneval": 0.6, "ifeval": 0.7, "math": 0.3, "mmlu": 0.6, "mmlu_pro": 0.4}},
{"name": "b", "benchmarks": {"gpqa": 0.5, "gsm8k": 0.8, "humaneval": 0.6, "ifeval": 0.7, "math": 0.6, "mmlu": 0.8, "mmlu_pro": 0.4}}"#;

fn warnings(text: &str) -> Vec<String> {
    let (_, warnings) = Policy::check(text).unwrap();
    let show = |problem: &Problem| format!("{}:{} {problem}", problem.line, problem.column);
    warnings.iter().map(show).collect()
}

#[test]
fn it_compiles() {
    let text = policy(
        r#""tenant": {"header": "x-jwt-payload", "claim": "org.id"},
        "steering": {"allow": ["allow_models", "min_quality"], "on_invalid": "reject"},
        "mode": "shadow", "exploration_rate": 0.02, "stickiness": 0.1, "route_endpoint": "on", "models_endpoint": "off",
        "on_missing_model": "decide",
        "budgets": [{"name": "day", "usd": 5, "per": "day", "tenant": ["acme"], "profile": "auto:cheap"}],
        "rules": [{"when": {"header": {"x-b": ["1"], "x-a": ["2*"]}, "path": ["/v1/*"], "share": 0.5}, "then": {"profile": "auto:best"}}],"#,
        &MODELS.replacen('{', r#"{"max_share": 0.4, "min_share": 0.1, "#, 1),
    );
    let traffic = Policy::compile(&text).unwrap().traffic;
    assert_eq!(traffic.matchers.headers, ["x-a", "x-b"]);
    assert!(traffic.matchers.path && traffic.shadow);
    assert_eq!(
        traffic.matchers.preferences,
        [ClientPreference::MinQuality, ClientPreference::AllowModels]
    );
    assert_eq!(traffic.on_invalid_preference, OnInvalidPreference::Reject);
    let tenant = traffic.matchers.tenant.unwrap();
    assert_eq!(
        (tenant.header.as_str(), tenant.claim.as_deref()),
        ("x-jwt-payload", Some("org.id"))
    );
    assert_eq!((traffic.exploration_rate, traffic.stickiness), (0.02, 0.1));
    assert!(traffic.route_endpoint && !traffic.models_endpoint && traffic.decide_missing_model);
    assert_eq!(traffic.shares.len(), 1);
    assert_eq!(
        (traffic.shares[0].most, traffic.shares[0].least),
        (0.4, 0.1)
    );
    assert_eq!(traffic.budgets[0].seconds, 86_400);

    let plain = Policy::compile(&policy("", MODELS)).unwrap().traffic;
    assert!(plain.matchers.is_empty() && !plain.shadow && plain.models_endpoint);
    assert!(!plain.route_endpoint && !plain.decide_missing_model);
}

#[test]
fn every_problem_is_reported_with_its_place() {
    let text = policy(
        r#""steering": {"allow": ["min_qality"]},
"mode": "dry",
"budgets": [{"name": "x", "usd": 1, "per": "year", "tenant": ["acme"]},
  {"name": "x", "usd": -1, "per": "day", "profile": "auto:cheep"}],
"rules": [{"name": "r", "when": {"tenant": ["acme"], "header": {"X-Team": ["a*b"]}, "language": ["english"], "share_by": ["user"], "words": ["Lease", "two words"]}, "then": {"tags": ["eu"]}}],"#,
        r#"{"name": "a", "max_share": 0.2, "min_share": 0.6}, {"name": "b", "min_share": 0.7}"#,
    );
    let expected = [
        "1:25 steering.allow[0]: unknown value `min_qality`; did you mean `min_quality`?",
        "2:9 mode: unknown value `dry`; known: enforce, shadow",
        "3:44 budgets[0].per: unknown value `year`; known: minute, hour, day, week, month",
        "3:62 budgets[0].tenant: the policy does not define the tenant: add `tenant`",
        "4:12 budgets[1].name: `x` is already the name of budgets[0]",
        "4:24 budgets[1].usd: `-1` is out of range: expected 0 or more",
        "4:53 budgets[1].profile: unknown profile `auto:cheep`; did you mean `auto:cheap`?",
        "5:44 rules[0].when.tenant: the policy does not define the tenant: add `tenant`",
        "5:65 rules[0].when.header.X-Team: `X-Team` is not a lower-case header name",
        "5:76 rules[0].when.header.X-Team[0]: `a*b`: a `*` may stand only at the end",
        "5:98 rules[0].when.language[0]: unknown value `english`; known: ar, zh, nl, en, fr, de, el, he, hi, it, ja, ko, pl, pt, ru, es, sv, th, tr, uk",
        "5:122 rules[0].when.share_by: has no effect without `share`",
        "5:142 rules[0].when.words[0]: `Lease` is not one word in lower case",
        "5:151 rules[0].when.words[1]: `two words` is not one word in lower case",
        "6:57 models[0].min_share: `0.6` is more than `max_share` of `0.2`",
        "6:90 models[1].min_share: the least shares of all models together are more than 1",
    ];
    let found = problems(&text);
    assert_eq!(found, expected, "{found:#?}");
}

#[test]
fn what_is_doubtful_is_a_warning() {
    let text = policy(
        r#""budgets": [{"name": "x", "usd": 0, "per": "day"}, {"name": "y", "usd": 0, "per": "day", "profile": "auto:cheap"}],
"rules": [
  {"name": "none", "when": {"share": 0}, "then": {"profile": "auto:best"}},
  {"name": "path", "when": {"path": ["v1/chat"]}, "then": {"profile": "auto:best"}},
  {"name": "nobody", "when": {"user": ["x"]}, "then": {"models": ["b"], "tags": ["eu"]}},
  {"name": "wide", "when": {"path": ["/v1/*"], "header": {"x-a": ["*"]}}, "then": {"models": ["a"]}},
  {"name": "narrow", "when": {"path": ["/v1/chat/*"], "header": {"x-a": ["1"], "x-b": ["2"]}, "language": ["de"]}, "then": {"models": ["b"]}},
  {"name": "closed", "when": {"language": ["de", "fr"]}, "then": {"reject": "no"}},
  {"name": "never", "when": {"language": ["fr"], "share": 0.5}, "then": {"models": ["b"]}},
  {"name": "hard", "when": {"min_difficulty": 1, "user": ["y"]}, "then": {"models": ["a"]}},
  {"name": "words", "when": {"words": ["suicide", "自杀", "лекарство", "ยา"]}, "then": {"min_quality": 0.1}}],"#,
        &MODELS.replace("{\"name\"", "{\"max_share\": 0.2, \"name\""),
    );
    let expected = [
        "1:35 budgets[0].usd: nothing can be spent of it: every request is refused",
        "1:74 budgets[1].usd: nothing can be spent of it: every request gets its profile",
        "3:38 rules[0].when.share: no request is in a share of 0",
        "4:38 rules[1].when.path[0]: `v1/chat` matches no path: paths begin with `/`",
        "5:55 rules[2].then: no backend meets all consequences: every matching request is refused",
        "7:135 rules[4].then.models: never counts: `wide` comes first and matches whenever this rule does",
        "9:3 rules[6]: never counts: `closed` comes first and refuses every such request",
        "10:85 rules[7].then.models: sends hard prompts to weak models: `b` is stronger, and weaker in no skill",
        "11:51 rules[8].when.words[1]: `自杀` is rarely found: its script has no spaces between words, and only whole words are found",
        "11:70 rules[8].when.words[3]: `ยา` is rarely found: its script has no spaces between words, and only whole words are found",
        "12:11 models: the most shares of all models together are `0.4`: the rest of the requests goes over them",
    ];
    let found = warnings(&text);
    assert_eq!(found, expected, "{found:#?}");
}

#[test]
fn rules_that_miss_prompts_of_their_domain_are_warned_of() {
    let ruled = |when: &str| {
        let rules = format!(
            r#""rules": [{{"name": "x", "when": {{{when}}}, "then": {{"models": ["a"]}}}}],"#
        );
        warnings(&policy(&rules, MODELS))
    };
    for (domains, named) in [
        (r#""medical""#, "medical"),
        (r#""legal", "medical""#, "legal or medical"),
    ] {
        // The figures are those of the last training; that a stricter rule finds less is not.
        let found = ruled(&format!(r#""domain": [{domains}], "min_confidence": 0.6"#));
        let [warning] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert!(
            warning.contains("rules[0].when.min_confidence: finds 0."),
            "{warning}"
        );
        assert!(
            warning.contains(&format!(" of {named} prompts at a confidence of 0.6, and ")),
            "{warning}"
        );
        let (_, needed) = warning.split_once("0.9 needs `min_confidence` ").unwrap();
        let needed = needed.split(' ').next().unwrap();
        let found = ruled(&format!(
            r#""domain": [{domains}], "min_confidence": {needed}"#
        ));
        assert!(found.is_empty(), "{found:?}");
    }
    // Three domains were not measured together.
    let found = ruled(
        r#""domain": ["legal", "medical", "finance"], "task": ["chat"], "min_confidence": 0.6"#,
    );
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn what_rules_and_budgets_never_get_to_is_a_warning() {
    let text = policy(
        r#""tenant": {"header": "x-tenant"},
"budgets": [{"name": "day", "usd": 5, "per": "day"}, {"name": "acme", "usd": 9, "per": "day", "tenant": ["acme"], "profile": "auto:cheap"},
  {"name": "month", "usd": 9, "per": "month"}, {"name": "soft", "usd": 1, "per": "month", "profile": "auto:cheap"}],
"profiles": {"blind": {"weights": {"cost": 1}, "limits": {"max_p99_ms": 9000}}, "us": {"weights": {"cost": 1}, "tags": ["eu"]},
  "both": {"weights": {"cost": 1}, "limits": {"max_first_token_p99_ms": 100, "max_cost_usd": 0.0000021}, "relax": ["max_cost_usd"]},
  "none": {"weights": {"cost": 1}, "limits": {"max_first_token_p99_ms": 100, "max_cost_usd": 0.0000021}, "relax": []}},
"rules": [
  {"name": "floor", "when": {"task": ["code", "math"]}, "then": {"min_quality": 0.7, "tags": ["eu"]}},
  {"name": "lower", "when": {"task": ["code"]}, "then": {"min_quality": 0.6, "tags": ["eu"]}},
  {"name": "higher", "when": {"task": ["code"]}, "then": {"min_quality": 0.8}},
  {"name": "named", "when": {"requested_model": ["a"]}, "then": {"models": ["a"], "profile": "auto:best", "min_quality": 0.9, "tags": ["eu"]}},
  {"name": "hard", "when": {"min_difficulty": 1, "user": ["x"]}, "then": {"profile": "blind"}},
  {"name": "held", "when": {"min_difficulty": 1, "user": ["y"]}, "then": {"profile": "blind", "min_quality": 0.5}},
  {"name": "sure", "when": {"user": ["z"]}, "then": {"min_quality": 1}},
  {"name": "tags", "when": {"user": ["t"]}, "then": {"profile": "us", "models": ["b"]}},
  {"name": "vain", "when": {"user": ["u"], "min_confidence": 0.5}, "then": {"profile": "us"}}],"#,
        MODELS,
    );
    let expected = [
        "2:54 budgets[1]: never counts: `day` is spent no later, for every tenant that this one limits",
        "5:46 profiles.both.limits: no backend can keep all of them: one gives way in every request",
        "6:46 profiles.none.limits: no backend can keep all of them: every request is refused",
        "9:73 rules[1].then.min_quality: never counts: `floor` has no lower floor and matches whenever this rule does",
        "9:86 rules[1].then.tags: never counts: `floor` requires them too and matches whenever this rule does",
        "11:76 rules[3].then.models: never counts: a client that names a model gets that model; only `tags` and `reject` apply then",
        "11:94 rules[3].then.profile: never counts: a client that names a model gets that model; only `tags` and `reject` apply then",
        "11:122 rules[3].then.min_quality: never counts: a client that names a model gets that model; only `tags` and `reject` apply then",
        "12:86 rules[4].then.profile: sends hard prompts to weak models: `blind` neither weighs quality nor limits it",
        "14:69 rules[6].then.min_quality: no model can keep it: it gives way in every request, or none is served",
        "15:53 rules[7].then: no backend meets all consequences: every matching request is refused",
        "16:62 rules[8].when.min_confidence: has no effect without `task` or `domain`",
    ];
    let found = warnings(&text);
    assert_eq!(found, expected, "{found:#?}");
}

/// `b` is as good as `a`, as fast and cheaper, in all but what each line says.
#[test]
fn a_backend_that_something_still_needs_is_not_dominated() {
    let check = |policy: &str, model: &str, worse: &str| {
        let text = format!(
            r#"{{{policy}
            "models": [{{"name": "a", "benchmarks": {{"mmlu": 0.5}}{model}}}, {{"name": "b", "benchmarks": {{"mmlu": 0.5}}}}],
            "backends": [
              {{"name": "a", "model": "a", "price": {{"input": 2, "output": 2}}{worse}}},
              {{"name": "b", "model": "b", "price": {{"input": 1, "output": 1}}}}]}}"#
        );
        warnings(&text).len()
    };
    assert_eq!(check("", "", ""), 1);
    for needed in [
        check("", "", r#", "apis": ["openai_chat", "anthropic_messages"]"#),
        check("", "", r#", "tags": ["eu"]"#),
        check("", r#", "calibration": {"offset": 0.1}"#, ""),
        check("", r#", "min_share": 0.1"#, ""),
        check(
            r#""rules": [{"when": {"task": ["code"]}, "then": {"models": ["a"]}}],"#,
            "",
            "",
        ),
    ] {
        assert_eq!(needed, 0);
    }
    let cached = r#"{"models": [{"name": "m", "benchmarks": {"mmlu": 0.5}}],
        "backends": [{"name": "a", "model": "m", "price": {"input": 2, "cached_input": 0.1, "output": 2}},
                     {"name": "b", "model": "m", "price": {"input": 1, "output": 1}}]}"#;
    assert_eq!(warnings(cached), [""; 0]);
}

#[test]
fn policies_that_differ_late_are_distinguished() {
    let long = format!("\"version\": \"{}\",", "x".repeat(5000));
    let compile = |text: &str| Policy::compile(text).unwrap().traffic.fingerprint;
    let text = policy(&long, MODELS);
    assert_ne!(
        compile(&text),
        compile(
            &text
                .replace("\"us\"", "\"eu\"")
                .replace("\"p50\": 1}", "\"p50\": 2}")
        )
    );
}

#[test]
fn rules_that_no_backend_meets_together_are_warned_of() {
    let rules = |rules: &str| {
        let text = crate::exchange::testing::policy_with(&format!("\"rules\": [{rules}]"));
        let (_, problems) = Policy::check(&text).unwrap();
        let problems = problems.iter().map(ToString::to_string);
        problems
            .filter(|line| line.contains("contradicts"))
            .collect::<Vec<_>>()
    };
    let pii = r#"{"name": "pii", "when": {"sensitive": ["email"]}, "then": {"tags": ["local"]}}"#;
    let code = r#"{"name": "code", "when": {"task": ["code"]}, "then": {"models": ["huge"]}}"#;
    for both in [format!("{pii}, {code}"), format!("{code}, {pii}")] {
        let found = rules(&both);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("contradicts `"), "{found:?}");
        assert!(found[0].contains("`prefer`"), "{found:?}");
    }
    // They cannot match the same request; one gives way; one comes from the other's models.
    for fine in [
        format!(
            r#"{{"name": "a", "when": {{"task": ["math"]}}, "then": {{"tags": ["local"]}}}}, {code}"#
        ),
        format!(
            r#"{pii}, {{"name": "b", "when": {{"task": ["code"]}}, "then": {{"prefer": {{"models": ["huge"]}}}}}}"#
        ),
        format!(
            r#"{pii}, {{"name": "b", "when": {{"task": ["code"]}}, "then": {{"models": ["tiny"]}}}}"#
        ),
    ] {
        assert_eq!(rules(&fine), [""; 0], "{fine}");
    }
}

#[test]
fn receipts_that_nobody_gets_are_a_warning() {
    let of = |members: &str| warnings(&policy(members, MODELS));
    let none: [&str; 0] = [];
    let on = r#""receipts": {"mode": "on"}, "learning": {"mode": "apply"},"#;
    assert_eq!(of(on), none);
    let [alone] = of(r#""learning": {"mode": "observe"},"#)
        .try_into()
        .unwrap();
    assert!(
        alone.ends_with("learning: only the checks of answers teach: feedback needs `receipts`")
    );
    let [shadow] = of(r#""receipts": {"mode": "log"}, "mode": "shadow","#)
        .try_into()
        .unwrap();
    assert!(shadow.ends_with("receipts: no receipts are made while `mode` is `shadow`"));
}
