use super::*;

/// Models with their aliases, and which backend serves which under what name.
fn policy(extra: &str) -> Policy {
    let text = format!(
        r#"{{{extra}
        "models": [
            {{"name": "gpt-4o", "aliases": ["omni", "Team/Default"]}},
            {{"name": "gpt-4o-mini"}},
            {{"name": "claude-3-5-sonnet-20241022"}},
            {{"name": "llama-8b"}},
            {{"name": "old-2024-01-01"}}, {{"name": "old-2024-02-02"}},
            {{"name": "twin-a"}}, {{"name": "twin-b"}}
        ],
        "backends": [
            {{"name": "a", "model": "gpt-4o", "accelerator": "serverless", "price": {{"input": 1, "output": 1}}}},
            {{"name": "b", "model": "llama-8b", "served_model": "meta-llama/Llama-3.1-8B-Instruct", "accelerator": "gpu", "price": {{"input": 1, "output": 1}}}},
            {{"name": "c", "model": "twin-a", "served_model": "default", "accelerator": "gpu", "price": {{"input": 1, "output": 1}}}},
            {{"name": "d", "model": "twin-b", "served_model": "default", "accelerator": "gpu", "price": {{"input": 1, "output": 1}}}}
        ]}}"#
    );
    Policy::compile(&text).unwrap()
}

#[test]
fn the_usual_spellings_of_a_name_mean_its_model() {
    let policy = policy("");
    for (written, meant) in [
        ("gpt-4o", "gpt-4o"),
        ("GPT-4o", "gpt-4o"),
        (" gpt-4o ", "gpt-4o"),
        ("omni", "gpt-4o"),
        ("OMNI", "gpt-4o"),
        ("team/default", "gpt-4o"),
        ("openai/gpt-4o", "gpt-4o"),
        ("openrouter/openai/GPT-4o", "gpt-4o"),
        ("models/gpt-4o-mini", "gpt-4o-mini"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("openai/gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("gpt-4o-latest", "gpt-4o"),
        ("gpt-4o-0806", "gpt-4o"),
        ("claude-3-5-sonnet-20241022", "claude-3-5-sonnet-20241022"),
        ("claude-3.5-sonnet", "claude-3-5-sonnet-20241022"),
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022"),
        (
            "us.anthropic.claude-3-5-sonnet-20241022-v2:0",
            "claude-3-5-sonnet-20241022",
        ),
        ("claude-3-5-sonnet@20241022", "claude-3-5-sonnet-20241022"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-8b"),
        ("meta-llama/llama-3.1-8b-instruct", "llama-8b"),
        ("Llama-3.1-8B-Instruct", "llama-8b"),
        ("llama-3.1-8b-instruct-awq", "llama-8b"),
        ("old-2024-01-01", "old-2024-01-01"),
        ("auto", "auto"),
        ("AUTO:Fast", "auto:fast"),
    ] {
        assert_eq!(policy.resolve_name(written), Some(meant), "{written}");
    }
}

#[test]
fn what_may_be_two_models_or_another_one_means_none() {
    let policy = policy("");
    for written in [
        "",
        "/",
        "gpt-4",
        "gpt-4o-audio",
        "gpt-4o-mini-high",
        "ft:gpt-4o-2024-08-06:acme::id",
        // Another date is another model.
        "claude-3-5-sonnet-20240620",
        // Two of them.
        "old",
        "default",
        "openai/auto",
        "large",
        "8b",
    ] {
        assert_eq!(policy.resolve_name(written), None, "{written}");
    }
}

#[test]
fn a_name_that_means_nothing_is_answered_with_the_nearest() {
    let policy = policy("");
    for (written, wanted) in [
        ("gpt4o", "; did you mean `gpt-4o`?"),
        ("openai/gpt-4-o", "; did you mean `gpt-4o`?"),
        ("old", "; available: gpt-4o, "),
        ("nothing-alike-at-all", "; available: gpt-4o, "),
    ] {
        let suggestion = policy.suggest(written);
        assert!(suggestion.starts_with(wanted), "{written}: {suggestion}");
    }
    assert_eq!(
        policy.suggest("claude-3-5-sonnet-20240620"),
        "; did you mean `claude-3-5-sonnet-20241022`?"
    );
    assert!(
        policy
            .suggest(&"x".repeat(100_000))
            .starts_with("; available")
    );
    // A policy that hides the list of models does not reveal it in errors.
    let hidden = self::policy(r#""models_endpoint": "off","#);
    assert_eq!(hidden.suggest("gpt4o"), "");
}

#[test]
fn an_alias_that_means_something_else_is_a_problem() {
    let text = |aliases: &str| {
        format!(
            r#"{{"models": [{{"name": "one", "aliases": {aliases}}}, {{"name": "two", "aliases": ["second"]}}],
            "backends": [{{"name": "a", "model": "one", "accelerator": "gpu", "price": {{"input": 1, "output": 1}}}}]}}"#
        )
    };
    for (aliases, wanted) in [
        (
            r#"["two"]"#,
            "models[0].aliases[0]: `two` is already the name of a model",
        ),
        (
            r#"["a", "ONE"]"#,
            "models[0].aliases[1]: `ONE` is already the name of a model",
        ),
        (
            r#"["Auto"]"#,
            "models[0].aliases[0]: `Auto` is already the name of a profile",
        ),
        (
            r#"["Second"]"#,
            "models[1].aliases[0]: `second` is already an alias of `one`",
        ),
        (
            r#"["x", "x"]"#,
            "models[0].aliases[1]: `x` is already an alias of `one`",
        ),
        (r#"[""]"#, "models[0].aliases[0]: is empty"),
    ] {
        let error = Policy::compile(&text(aliases)).unwrap_err();
        assert_eq!(error.to_string(), wanted);
    }
    assert!(Policy::compile(&text("[]")).is_ok());
}
