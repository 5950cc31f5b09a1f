//! Conversations whose state only its maker can read, through proxies that fail over, against providers that refuse what is
//! not theirs.

mod fleet;
mod providers;

use fleet::Fleet;
use providers::Api;

/// Two providers for each API, with several backends each; most models are served by both of them.
const POLICY: &str = r#"{
  "stickiness": 0.05, "exploration_rate": 0.1,
  "models": [
    {"name": "opus", "capabilities": ["tools", "reasoning"], "context_window": 200000, "benchmarks": {"mmlu": 0.9}, "max_share": 0.6},
    {"name": "haiku", "capabilities": ["tools", "reasoning"], "context_window": 200000, "benchmarks": {"mmlu": 0.7}, "min_share": 0.2},
    {"name": "gpt", "capabilities": ["tools", "reasoning"], "context_window": 200000, "benchmarks": {"mmlu": 0.88}},
    {"name": "gemini", "capabilities": ["tools", "reasoning"], "context_window": 200000, "benchmarks": {"mmlu": 0.87}}
  ],
  "backends": [
    {"name": "anthropic-1", "model": "opus", "apis": ["anthropic_messages"], "endpoint": "https://api.anthropic.com", "price": {"input": 5, "output": 25}},
    {"name": "anthropic-1b", "model": "opus", "apis": ["anthropic_messages"], "endpoint": "https://api.anthropic.com", "price": {"input": 5, "output": 25}},
    {"name": "anthropic-2", "model": "haiku", "apis": ["anthropic_messages"], "endpoint": "https://api.anthropic.com", "price": {"input": 1, "output": 5}},
    {"name": "anthropic-2b", "model": "haiku", "apis": ["anthropic_messages"], "endpoint": "https://api.anthropic.com", "price": {"input": 1, "output": 5}},
    {"name": "bedrock-1", "model": "opus", "apis": ["anthropic_messages"], "served_model": "eu.opus", "endpoint": "https://bedrock.eu.example", "price": {"input": 5, "output": 25}},
    {"name": "bedrock-1b", "model": "opus", "apis": ["anthropic_messages"], "served_model": "eu.opus", "endpoint": "https://bedrock.eu.example", "price": {"input": 5, "output": 25}},
    {"name": "bedrock-2", "model": "haiku", "apis": ["anthropic_messages"], "served_model": "eu.haiku", "endpoint": "https://bedrock.eu.example", "price": {"input": 1, "output": 5.1}},
    {"name": "bedrock-2b", "model": "haiku", "apis": ["anthropic_messages"], "served_model": "eu.haiku", "endpoint": "https://bedrock.eu.example", "price": {"input": 1, "output": 5.1}},
    {"name": "openai-1", "model": "gpt", "apis": ["openai_responses"], "endpoint": "https://api.openai.com", "price": {"input": 2, "output": 10}},
    {"name": "openai-1b", "model": "gpt", "apis": ["openai_responses"], "endpoint": "https://api.openai.com", "price": {"input": 2, "output": 10}},
    {"name": "openai-2", "model": "haiku", "served_model": "gpt-mini", "apis": ["openai_responses"], "endpoint": "https://api.openai.com", "price": {"input": 0.5, "output": 2}},
    {"name": "openai-2b", "model": "haiku", "served_model": "gpt-mini", "apis": ["openai_responses"], "endpoint": "https://api.openai.com", "price": {"input": 0.5, "output": 2}},
    {"name": "azure-1", "model": "gpt", "apis": ["openai_responses"], "endpoint": "https://one.azure.example", "price": {"input": 2, "output": 10.1}},
    {"name": "azure-1b", "model": "gpt", "apis": ["openai_responses"], "endpoint": "https://one.azure.example", "price": {"input": 2, "output": 10.1}},
    {"name": "azure-2", "model": "gpt", "apis": ["openai_responses"], "endpoint": "https://one.azure.example", "price": {"input": 1.9, "output": 10.1}},
    {"name": "azure-2b", "model": "gpt", "apis": ["openai_responses"], "endpoint": "https://one.azure.example", "price": {"input": 1.9, "output": 10.1}},
    {"name": "google-1", "model": "gemini", "apis": ["openai_chat"], "endpoint": "https://generativelanguage.googleapis.com/v1beta/openai", "price": {"input": 2, "output": 10}},
    {"name": "google-1b", "model": "gemini", "apis": ["openai_chat"], "endpoint": "https://generativelanguage.googleapis.com/v1beta/openai", "price": {"input": 2, "output": 10}},
    {"name": "google-2", "model": "gemini", "served_model": "gemini-pro", "apis": ["openai_chat"], "endpoint": "https://generativelanguage.googleapis.com/v1beta/openai", "price": {"input": 2.1, "output": 10}},
    {"name": "google-2b", "model": "gemini", "served_model": "gemini-pro", "apis": ["openai_chat"], "endpoint": "https://generativelanguage.googleapis.com/v1beta/openai", "price": {"input": 2.1, "output": 10}},
    {"name": "vertex-1", "model": "gemini", "apis": ["openai_chat"], "endpoint": "https://eu-aiplatform.googleapis.com/v1/projects/p", "price": {"input": 2, "output": 10.2}},
    {"name": "vertex-1b", "model": "gemini", "apis": ["openai_chat"], "endpoint": "https://eu-aiplatform.googleapis.com/v1/projects/p", "price": {"input": 2, "output": 10.2}},
    {"name": "vertex-2", "model": "haiku", "served_model": "flash", "apis": ["openai_chat"], "endpoint": "https://eu-aiplatform.googleapis.com/v1/projects/p", "price": {"input": 0.4, "output": 2}},
    {"name": "vertex-2b", "model": "haiku", "served_model": "flash", "apis": ["openai_chat"], "endpoint": "https://eu-aiplatform.googleapis.com/v1/projects/p", "price": {"input": 0.4, "output": 2}}
  ]
}"#;

/// Every turn was answered with 200 though backends failed.
fn assert_nobody_noticed(fleet: &Fleet, turns: usize) {
    assert!(
        fleet.errors.is_empty(),
        "{} of {turns}: {:?}",
        fleet.errors.len(),
        fleet.errors.first()
    );
    assert!(
        fleet.failed_attempts * 30 > turns,
        "{} failures only",
        fleet.failed_attempts
    );
}

#[test]
fn no_client_meets_an_error_of_state_that_is_kept() {
    let turns = 10_000;
    let mut fleet = Fleet::new(POLICY, 1);
    fleet.run(turns, &Api::ALL);
    assert_nobody_noticed(&fleet, turns);
    assert_eq!(fleet.stuck, 0);
    assert_eq!(fleet.foreign_attempts, 0, "known makers are never missed");
    // Conversations move between providers if nothing holds them.
    assert!(fleet.scopes_seen() >= 6);
}

#[test]
fn without_what_the_proxy_remembers_clients_would_meet_errors() {
    let mut fleet = Fleet::new(POLICY, 1);
    fleet.forgets = true;
    fleet.run(1_000, &Api::ALL);
    assert!(fleet.foreign_attempts > 20, "{}", fleet.foreign_attempts);
    fleet.retries_refusals = false;
    fleet.run(1_000, &Api::ALL);
    assert!(!fleet.errors.is_empty());
}

#[test]
fn a_fleet_that_restarts_guesses_and_goes_on() {
    let turns = 1_500;
    let mut fleet = Fleet::new(POLICY, 3);
    fleet.restart_every = 100;
    fleet.run(turns, &Api::ALL);
    assert_nobody_noticed(&fleet, turns);
    assert!(fleet.foreign_attempts > 0, "nothing was guessed wrong");
}

#[test]
fn what_may_be_dropped_lets_conversations_leave_a_provider_that_is_down() {
    let turns = 1_500;
    let policy = POLICY.replacen('{', r#"{"foreign_state": "drop","#, 1);
    let mut fleet = Fleet::new(&policy, 1);
    fleet.whole_scopes_fail = true;
    fleet.run(turns, &[Api::Anthropic, Api::Chat, Api::StatelessResponses]);
    assert_nobody_noticed(&fleet, turns);
    assert!(fleet.stuck * 50 < turns, "{} were stuck", fleet.stuck);
    assert!(fleet.moved > 10, "{} conversations moved", fleet.moved);
}
