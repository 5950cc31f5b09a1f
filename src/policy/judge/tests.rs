use super::*;
use crate::policy::Policy;

fn policy(judge: &str) -> Result<(Policy, Vec<String>), Vec<String>> {
    let text = format!(
        r#"{{"models": [{{"name": "m"}}, {{"name": "n"}}],
            "backends": [{{"name": "a", "model": "m", "price": {{"input": 1, "output": 1}}, "tags": ["eu"]}},
                         {{"name": "b", "model": "n", "price": {{"input": 1, "output": 1}}}}],
            "rules": [{{"when": {{"sensitive": ["card"]}}, "then": {{"tags": ["eu"]}}}}],
            "judge": {judge}}}"#
    );
    let lines = |problems: &[crate::schema::Problem]| {
        let line =
            |problem: &crate::schema::Problem| format!("{}: {}", problem.at, problem.message);
        let ours = problems.iter().filter(|one| one.at.starts_with("judge"));
        ours.map(line).collect::<Vec<_>>()
    };
    match Policy::check(&text) {
        Ok((policy, warnings)) => Ok((policy, lines(&warnings))),
        Err(error) => Err(lines(&error.problems)),
    }
}

fn judge(text: &str) -> Judge {
    policy(text).unwrap().0.judge.unwrap()
}

#[test]
fn a_cluster_and_a_model_are_enough() {
    let (compiled, warnings) = policy(r#"{"cluster": "judge", "model": "j"}"#).unwrap();
    assert_eq!(warnings, [] as [&str; 0]);
    let judge = compiled.judge.unwrap();
    assert_eq!(judge.mode, JudgeMode::Enforce);
    assert_eq!(
        (judge.authority.as_str(), judge.path.as_str()),
        ("judge", "/v1/chat/completions")
    );
    assert_eq!((judge.deadline_ms, judge.max_share), (150, 0.3));
    assert!(judge.max_usd_per_hour.is_infinite() && judge.is_evidence());
    assert!(
        policy(r#"{"cluster": "judge", "model": "j", "mode": "off"}"#)
            .unwrap()
            .0
            .judge
            .is_none()
    );
}

#[test]
fn authority_and_path_follow_from_the_endpoint() {
    let call = |text: &str| {
        let judge = judge(text);
        format!("{} {}", judge.authority, judge.path)
    };
    assert_eq!(
        call(r#"{"cluster": "j", "model": "j", "endpoint": "https://api.example.com/v1"}"#),
        "api.example.com /v1/chat/completions"
    );
    assert_eq!(
        call(
            r#"{"cluster": "j", "model": "j", "endpoint": "http://10.0.0.1:8000/judge", "api": "classify"}"#
        ),
        "10.0.0.1:8000 /judge/classify"
    );
    assert_eq!(
        call(
            r#"{"cluster": "j", "endpoint": "http://[::1]:80", "api": "predict", "path": "/p", "authority": "a"}"#
        ),
        "a /p"
    );
    assert_eq!(
        call(r#"{"cluster": "j", "api": "predict", "endpoint": "http://[::1]:81"}"#),
        "[::1]:81 /predict"
    );
}

#[test]
fn bad_fields_are_named() {
    let problems = policy(
            r#"{"api": "chat", "endpoint": "judge:1", "path": "p", "authority": "a b", "evidence": {"slope": -1}, "credentials": {"env": "KEY$"}}"#,
        )
        .unwrap_err();
    let expected = [
        "judge: missing field `cluster`",
        "judge.evidence.slope: `-1` is out of range: expected 0 to 10",
        "judge: missing field `model`, which `api` `chat` needs",
        "judge.endpoint: `judge:1` does not begin with `http://` or `https://`",
        "judge.authority: `a b` is not a valid authority",
        "judge.path: `p` is not a path",
        "judge.credentials.env: `KEY$` is not the name of an environment variable",
    ];
    for line in expected {
        assert!(
            problems.iter().any(|problem| problem == line),
            "{line}: {problems:#?}"
        );
    }
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
}

#[test]
fn a_judge_without_use_is_warned_of() {
    let warnings = policy(
        r#"{"cluster": "j", "model": "j", "max_share": 0, "deadline_ms": 900,
                "max_usd_per_hour": 1, "tags": ["eu", "on-prem"], "evidence": {"slope": 0}}"#,
    )
    .unwrap()
    .1;
    assert_eq!(warnings.len(), 5, "{warnings:#?}");
    let starts = [
        "judge.evidence",
        "judge.max_share",
        "judge.deadline_ms",
        "judge.max_usd_per_hour",
        "judge.tags",
    ];
    for start in starts {
        assert!(
            warnings.iter().any(|line| line.starts_with(start)),
            "{start}: {warnings:#?}"
        );
    }
}

#[test]
fn an_encoder_answers_one_question() {
    let problem = |judge: &str| policy(judge).err().map(|lines| lines.join("; "));
    let predict = r#"{"cluster": "j", "api": "predict", "grade_share": 0.1"#;
    let message = "judge.grade_share: an encoder behind `predict` answers one question, and is asked about prompts: let it only grade answers, or set `max_share` to 0";
    assert_eq!(problem(&format!("{predict}}}")).as_deref(), Some(message));
    assert_eq!(problem(&format!(r#"{predict}, "max_share": 0}}"#)), None);
    let classify = r#"{"cluster": "j", "api": "classify", "model": "m", "grade_share": 0.1"#;
    assert!(
        problem(&format!("{classify}}}"))
            .unwrap()
            .contains("`grade_model`")
    );
    assert_eq!(
        problem(&format!(r#"{classify}, "grade_model": "g"}}"#)),
        None
    );
    let chat =
        judge(r#"{"cluster": "j", "model": "m", "grade_share": 0.1, "max_usd_per_hour": 2}"#);
    assert_eq!(
        (chat.grading_model(), chat.grading_usd_per_hour()),
        ("m", 1.0)
    );
}

#[test]
fn grading_that_teaches_nothing_is_warned_of() {
    let warnings = |more: &str, members: &str| {
        let judge = format!(
            r#"{{"cluster": "j", "model": "m", "grade_share": 0.1 {more}}}, {members} "version": "v""#
        );
        policy(&judge).unwrap().1
    };
    let learns = r#""learning": {"mode": "observe"},"#;
    assert_eq!(warnings("", learns), [""; 0]);
    assert_eq!(warnings(r#", "max_share": 0"#, learns), [""; 0]);
    assert_eq!(
        warnings("", ""),
        [
            "judge.grade_share: no answer is graded: without `learning` and `receipts` there is nothing to do with a grade"
        ]
    );
    assert_eq!(
        warnings("", r#""receipts": {"mode": "on"},"#),
        ["judge.grade_share: grades are counted and logged, and teach nothing: `learning` is off"]
    );
    let shadow = format!(r#"{learns} "mode": "shadow","#);
    assert_eq!(
        warnings("", &shadow),
        ["judge.grade_share: no answer is graded while the policy's `mode` is `shadow`"]
    );
    let no_weight = r#""learning": {"mode": "observe", "outcomes": {"judge": 0}},"#;
    assert_eq!(
        warnings("", no_weight),
        ["judge.grade_share: grades teach nothing: `learning.outcomes.judge` is 0"]
    );
    assert_eq!(
        policy(r#"{"cluster": "j", "model": "m", "grade_ask": "Grade.", "grade_model": "g"}"#)
            .unwrap()
            .1,
        [
            "judge.grade_ask: has no effect: `grade_share` is 0",
            "judge.grade_model: has no effect: `grade_share` is 0"
        ]
    );
}

#[test]
fn tags_open_the_judge_to_what_rules_restrict() {
    let judge = judge(r#"{"cluster": "j", "model": "j", "tags": ["eu"]}"#);
    assert!(judge.carries(["eu"].into_iter()) && judge.carries([].into_iter()));
    assert!(!judge.carries(["eu", "on-prem"].into_iter()));
}

#[test]
fn the_names_are_those_of_the_types() {
    assert_eq!(APIS, JudgeApi::ALL.map(JudgeApi::name));
}
