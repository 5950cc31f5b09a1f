//! Small catalogues in the shapes of the public ones, with made-up models and prices.

use super::*;

const LITELLM: &str = r#"{
  "sample_spec": {"mode": "one of: chat, embedding", "max_tokens": "LEGACY parameter", "input_cost_per_token": 0.0},
  "acme-large": {
    "litellm_provider": "acme", "mode": "chat", "max_tokens": 4096, "max_input_tokens": 200000, "max_output_tokens": 4096,
    "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05, "cache_read_input_token_cost": 3e-07,
    "cache_creation_input_token_cost": 3.75e-06, "supports_function_calling": true, "supports_vision": true,
    "supports_response_schema": true, "supports_prompt_caching": true, "deprecation_date": "2030-01-01"
  },
  "fast/acme-small": {
    "litellm_provider": "fast", "mode": "chat", "max_tokens": 8192, "input_cost_per_token": 1.5e-07,
    "output_cost_per_token": 6e-07, "supports_reasoning": true, "supports_pdf_input": false
  },
  "acme-embed": {"litellm_provider": "acme", "mode": "embedding", "input_cost_per_token": 1e-08, "output_cost_per_token": 0.0},
  "acme-per-second": {"litellm_provider": "acme", "mode": "chat", "input_cost_per_second": 0.0004},
  "broken": {"mode": "chat", "input_cost_per_token": "free", "output_cost_per_token": 1e-06},
  "negative": {"mode": "chat", "input_cost_per_token": -1e-06, "output_cost_per_token": 1e-06},
  "nothing": 5
}"#;

const MODELS_DEV: &str = r#"{
  "acme": {
    "id": "acme", "name": "Acme", "env": ["ACME_API_KEY"], "npm": "@acme/sdk", "doc": "docs",
    "models": {
      "acme-large": {
        "id": "acme-large", "name": "Acme Large", "attachment": true, "reasoning": false, "temperature": true,
        "tool_call": true, "structured_output": true, "knowledge": "2024-10", "open_weights": false,
        "modalities": {"input": ["text", "image", "pdf"], "output": ["text"]},
        "cost": {"input": 3, "output": 15, "cache_read": 0.3, "cache_write": 3.75},
        "limit": {"context": 200000, "output": 64000}
      },
      "acme-paint": {
        "id": "acme-paint", "modalities": {"input": ["text"], "output": ["image"]},
        "cost": {"input": 1, "output": 1}, "limit": {"context": 0, "output": 0}
      },
      "acme-free": {"id": "acme-free", "limit": {"context": 8192, "output": 8192}},
      "acme-odd": {"id": "acme-odd", "cost": {"input": "1", "output": 1}, "limit": {"context": 1, "output": 1}}
    }
  },
  "fast": {
    "id": "fast",
    "models": {
      "acme-small": {
        "id": "acme-small", "cost": {"input": 0.15, "output": 0.6, "context_over_200k": {"input": 1, "output": 1}},
        "limit": {"context": 8192, "output": 16384}
      }
    }
  },
  "empty": {"id": "empty"}
}"#;

const POLICY: &str = r#"{
  "version": "1",
  "models": [
    {"name": "large", "context_window": 1000, "max_output_tokens": 500, "capabilities": ["json_mode"]},
    {
      "name": "acme-small",
      "context_window": 8192
    }
  ],
  "backends": [
    {"name": "cloud", "model": "large", "served_model": "acme-large", "accelerator": "serverless",
      "price": {
        "input": 2.50,
        "output": 15.0
      }},
    {"name": "quick", "model": "acme-small", "accelerator": "lpu", "price": {"input": 1, "output": 2}},
    {"name": "own", "model": "large", "served_model": "org/large", "price": {"input": 0.7, "output": 0.9}}
  ]
}
"#;

fn args(form: Form, provider: Option<&str>, backends: &[(&str, &str)]) -> Args {
    let own = |(name, entry): &(&str, &str)| ((*name).to_owned(), (*entry).to_owned());
    Args {
        form,
        file: "catalogue.json".into(),
        entries: Vec::new(),
        into: Some("policy.json".into()),
        provider: provider.map(str::to_owned),
        backends: backends.iter().map(own).collect(),
        write: false,
    }
}

fn document(text: &str) -> Document {
    Document::parse(crate::io::document::Form::Json, text.to_owned()).unwrap()
}

fn updated(form: Form, text: &str, args: &Args) -> Result<(String, Vec<String>), Failure> {
    let catalogue = Catalogue::read(form, text).unwrap();
    let policy = Policy::compile(POLICY).unwrap();
    update(&catalogue, args, &policy, &document(POLICY))
        .map(|(changed, report)| (changed.text, report))
}

#[test]
fn litellms_shape_is_read() {
    let catalogue = Catalogue::read(Form::LiteLlm, LITELLM).unwrap();
    let names: Vec<&str> = catalogue.entries.keys().map(String::as_str).collect();
    assert_eq!(names, ["acme-large", "fast/acme-small"]);
    assert_eq!((catalogue.skipped, catalogue.ignored_fields), (2, 2));
    assert_eq!(
        catalogue.mistakes,
        [
            "`broken`: input_cost_per_token: expected a number, found `\"free\"`",
            "`negative`: input_cost_per_token: `-1e-6` is less than 0",
            "`nothing`: expected an object",
        ]
    );
    let large = &catalogue.entries["acme-large"];
    assert_eq!(
        (
            large.input,
            large.cached_input,
            large.cache_write,
            large.output
        ),
        (Some(3.0), Some(0.3), Some(3.75), Some(15.0))
    );
    assert_eq!(
        (large.context_window, large.max_output_tokens),
        (Some(200_000), Some(4_096))
    );
    let names: Vec<&str> = large.capabilities.names().collect();
    assert_eq!(names, ["tools", "vision", "json_mode", "json_schema"]);
    let small = &catalogue.entries["fast/acme-small"];
    assert_eq!((small.input, small.output), (Some(0.15), Some(0.6)));
    assert_eq!(
        (small.context_window, small.max_output_tokens),
        (Some(8_192), None)
    );
}

#[test]
fn models_devs_shape_is_read() {
    let catalogue = Catalogue::read(Form::ModelsDev, MODELS_DEV).unwrap();
    let names: Vec<&str> = catalogue.entries.keys().map(String::as_str).collect();
    assert_eq!(names, ["acme/acme-large", "fast/acme-small"]);
    assert_eq!((catalogue.skipped, catalogue.ignored_fields), (2, 4));
    assert_eq!(
        catalogue.mistakes,
        [
            "`acme/acme-odd`: cost.input: expected a number, found `\"1\"`",
            "`empty`: expected a provider with `models`",
        ]
    );
    let large = &catalogue.entries["acme/acme-large"];
    assert_eq!(
        (
            large.input,
            large.cached_input,
            large.cache_write,
            large.output
        ),
        (Some(3.0), Some(0.3), Some(3.75), Some(15.0))
    );
    assert_eq!(
        (large.context_window, large.max_output_tokens),
        (Some(200_000), Some(64_000))
    );
    let names: Vec<&str> = large.capabilities.names().collect();
    assert_eq!(
        names,
        ["tools", "vision", "json_mode", "json_schema", "files"]
    );
}

#[test]
fn a_policy_is_updated_and_keeps_its_form() {
    let args = args(Form::LiteLlm, Some("fast"), &[]);
    let (text, report) = updated(Form::LiteLlm, LITELLM, &args).unwrap();
    let expected = POLICY
        .replace("\"context_window\": 1000, \"max_output_tokens\": 500", "\"context_window\": 200000, \"max_output_tokens\": 4096")
        .replace("[\"json_mode\"]", "[\"tools\",\"vision\",\"json_mode\",\"json_schema\"]")
        .replace(
            "\"context_window\": 8192\n",
            "\"context_window\": 8192,\n      \"capabilities\": [\"tools\",\"json_mode\",\"json_schema\",\"reasoning\"]\n",
        )
        .replace(
            "2.50,\n        \"output\": 15.0\n",
            "3.0,\n        \"output\": 15.0,\n        \"cached_input\": 0.3,\n        \"cache_write\": 3.75\n",
        )
        .replace("{\"input\": 1, \"output\": 2}", "{\"input\": 0.15, \"output\": 0.6}");
    assert_eq!(text, expected);
    assert_eq!(
        report,
        [
            "cloud: acme-large",
            "  backends[0].price.input: 2.5 -> 3.0",
            "  backends[0].price.cached_input: - -> 0.3",
            "  backends[0].price.cache_write: - -> 3.75",
            "  models[0].context_window: 1000 -> 200000",
            "  models[0].max_output_tokens: 500 -> 4096",
            "  models[0].capabilities: [\"json_mode\"] -> [\"tools\",\"vision\",\"json_mode\",\"json_schema\"]",
            "quick: fast/acme-small",
            "  backends[1].price.input: 1 -> 0.15",
            "  backends[1].price.output: 2 -> 0.6",
            "  models[1].capabilities: - -> [\"tools\",\"json_mode\",\"json_schema\",\"reasoning\"]",
            "own: no entry, left as it is",
        ]
    );
    Policy::compile(&text).unwrap();
    // Once more, nothing changes.
    let catalogue = Catalogue::read(Form::LiteLlm, LITELLM).unwrap();
    let policy = Policy::compile(&text).unwrap();
    assert_eq!(
        update(&catalogue, &args, &policy, &document(&text))
            .unwrap()
            .0
            .text,
        text
    );
}

#[test]
fn the_entry_of_a_backend_can_be_given() {
    let pair = [("own", "fast/acme-small")];
    let (text, report) = updated(
        Form::ModelsDev,
        MODELS_DEV,
        &args(Form::ModelsDev, None, &pair),
    )
    .unwrap();
    assert!(
        text.contains("{\"input\": 0.15, \"output\": 0.6}}\n  ]"),
        "{text}"
    );
    // The window holds input and output: no more output than that.
    assert!(
        report.contains(&"  models[0].max_output_tokens: 500 -> 8192".to_owned()),
        "{report:#?}"
    );
    Policy::compile(&text).unwrap();

    let failed = |backends: &[(&str, &str)]| {
        let args = args(Form::ModelsDev, None, backends);
        updated(Form::ModelsDev, MODELS_DEV, &args)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(failed(&[("who", "x")]), "the policy has no backend `who`");
    assert_eq!(
        failed(&[("own", "acme-small")]),
        "the catalogue has no entry `acme-small`; there are: fast/acme-small"
    );
    assert_eq!(
        failed(&[]),
        "no backend of the policy has an entry: name one with --backend BACKEND=ENTRY, or a --provider"
    );
}

#[test]
fn entries_are_printed_as_pieces_of_a_policy() {
    let catalogue = Catalogue::read(Form::ModelsDev, MODELS_DEV).unwrap();
    let args = Args {
        entries: vec!["acme/acme-large".into(), "acme-small".into()],
        ..args(Form::ModelsDev, Some("fast"), &[])
    };
    let pieces = fragments(&catalogue, &args).unwrap();
    let (policy, _) = Policy::check(&pieces.to_string()).unwrap();
    assert_eq!(policy.registry.backends[0].name, "acme-acme-large");
    assert_eq!(policy.registry.backends[0].price.cached_input, 0.3);
    assert_eq!(policy.registry.backends[1].price.input, 0.15);
    assert_eq!(policy.registry.models[1].context_window, 8_192);
}

#[test]
fn what_is_no_catalogue_is_refused() {
    let refused = |form, text| Catalogue::read(form, text).unwrap_err();
    assert_eq!(
        refused(Form::LiteLlm, "[]"),
        "expected an object of entries"
    );
    assert!(refused(Form::LiteLlm, "{").starts_with("not JSON: "));
    assert_eq!(
        refused(Form::LiteLlm, MODELS_DEV),
        "has no entry of a language model with prices by token: is it another catalogue's file?"
    );
}

#[test]
fn a_yaml_policy_keeps_its_comments() {
    let yaml = "# mine\nmodels:\n- name: acme-large # ours\nbackends:\n- name: cloud\n  model: acme-large\n  price: {input: 1, output: 2} # USD\n";
    let document = Document::parse(crate::io::document::Form::Yaml, yaml.to_owned()).unwrap();
    let policy = Policy::compile(&document.json).unwrap();
    let catalogue = Catalogue::read(Form::LiteLlm, LITELLM).unwrap();
    let args = args(Form::LiteLlm, None, &[]);
    let (changed, _) = update(&catalogue, &args, &policy, &document).unwrap();
    assert!(
        changed
            .text
            .starts_with("# mine\nmodels:\n- name: acme-large # ours\n  context_window: 200000\n")
    );
    assert!(
        changed.text.contains(
            "price: {input: 3.0, output: 15.0, cached_input: 0.3, cache_write: 3.75} # USD\n"
        ),
        "{}",
        changed.text
    );
    assert_eq!(
        Policy::compile(&changed.json).unwrap().registry.backends[0]
            .price
            .input,
        3.0
    );
}
