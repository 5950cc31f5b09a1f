use super::*;

fn call(path: &str) -> Option<(Api, Call)> {
    match ApiPath::read(path).target {
        Target::Call { api, call, .. } => Some((api, call)),
        _ => None,
    }
}

fn sent(path: &str) -> String {
    let read = ApiPath::read(path);
    read.to_send(path).unwrap_or_else(|| path.to_owned())
}

#[test]
fn every_spelling_of_a_call_is_that_call_and_is_sent_in_one() {
    for path in [
        "/v1/chat/completions",
        "/v1/chat/completions/",
        "//v1/chat/completions",
        "/v1//chat///completions//",
        "/v1/chat%2Fcompletions",
        "/v1/chat%2fcompletions%2f",
        "/v1%252fchat/completions",
        "/v1/chat/completions;x",
        "/v1;a=b/chat;c/completions;jsessionid=1/",
        "/v1/./chat/../chat/completions",
        "/%2e/v1/x/%2e%2E/chat/completions/.",
        "/%76%31/chat/completions",
        "/V1/Chat/Completions",
        "/v1\\chat\\completions",
        "/chat/completions",
        "/v1/chat/completions%20",
        "/../../v1/chat/completions",
        "/openai/deployments/gpt-4o/chat/completions",
    ] {
        assert_eq!(call(path), Some((Api::OpenAiChat, Call::Answer)), "{path}");
        assert_eq!(sent(path), "/v1/chat/completions", "{path}");
        assert_eq!(ApiPath::read(path).own(), "/v1/chat/completions", "{path}");
    }
}

#[test]
fn each_api_is_taken_with_and_without_its_version_and_behind_mounts() {
    use Call::{Answer, TokenCount};
    for (tail, api, does) in [
        ("chat/completions", Api::OpenAiChat, Answer),
        ("responses", Api::OpenAiResponses, Answer),
        ("responses/compact", Api::OpenAiResponses, Answer),
        ("responses/input_tokens", Api::OpenAiResponses, TokenCount),
        ("chat/completions/input_tokens", Api::OpenAiChat, TokenCount),
        ("completions", Api::OpenAiCompletions, Answer),
        ("embeddings", Api::OpenAiEmbeddings, Answer),
        ("messages", Api::AnthropicMessages, Answer),
        ("messages/count_tokens", Api::AnthropicMessages, TokenCount),
    ] {
        for before in [
            "/",
            "/v1/",
            "/openai/",
            "/openai/v1/",
            "/api/v1/",
            "/team/llm/v1/",
            "/anthropic/v1/",
            "/backend-api/codex/",
            "/openai/deployments/a%2Fb/",
            "/openai/v1/engines/x/",
        ] {
            for after in ["", "/", "?a=b", ";x?a"] {
                let path = [before, tail, after].concat();
                assert_eq!(call(&path), Some((api, does)), "{path}");
                let is_certain = matches!(
                    ApiPath::read(&path).target,
                    Target::Call {
                        is_certain: true,
                        ..
                    }
                );
                assert!(is_certain, "{path}");
            }
        }
    }
}

#[test]
fn a_path_is_sent_with_its_mount_and_its_query() {
    for (path, wanted) in [
        ("/v1/chat/completions?x=1", "/v1/chat/completions?x=1"),
        ("/v1/messages/?beta=true", "/v1/messages?beta=true"),
        ("/responses?a", "/v1/responses?a"),
        ("/team%20a/v1//responses", "/team%20a/v1/responses"),
        ("/Team/V1/Responses", "/Team/v1/responses"),
        (
            "/openai/responses?api-version=1",
            "/openai/v1/responses?api-version=1",
        ),
        (
            "/llm/openai/deployments/gpt-4o/embeddings?api-version=2024-10-21&x=1",
            "/llm/v1/embeddings?x=1",
        ),
        (
            "/openai/deployments/gpt-4o/responses?api-version=2024-10-21",
            "/v1/responses",
        ),
        ("/v1/engines/ada/completions", "/v1/completions"),
        // Only the operator's routes know what this mount stands for.
        ("/llm//responses", "/llm/responses"),
    ] {
        assert_eq!(sent(path), wanted, "{path}");
    }
}

#[test]
fn the_deployment_keeps_its_name() {
    for (path, name) in [
        ("/openai/deployments/GPT-4o/responses", "GPT-4o"),
        ("/openai/deployments/org%2FModel/embeddings", "org/Model"),
        ("/deployments/x/v1/completions", "x"),
        ("/v1/engines/davinci/completions/", "davinci"),
    ] {
        let Target::Call { deployment, .. } = ApiPath::read(path).target else {
            panic!("{path}");
        };
        assert_eq!(deployment.as_deref(), Some(name), "{path}");
    }
    let Target::Call { deployment, .. } = ApiPath::read("/openai/deployments/responses").target
    else {
        panic!("no call");
    };
    assert_eq!(deployment, None);
}

#[test]
fn models_are_found_in_every_spelling() {
    for path in [
        "/v1/models",
        "/v1/models/",
        "/models",
        "/openai/models?a",
        "/api/v1/models",
    ] {
        assert_eq!(ApiPath::read(path).target, Target::Models, "{path}");
    }
    for path in [
        "/v1/models/org%2FModel-1",
        "/v1/models/org/Model-1",
        "/models/org/Model-1/",
        "/openai/v1/models/org%2fModel-1?x",
        "//v1/models//org/Model-1",
    ] {
        let named = Target::Model("org/Model-1".into());
        assert_eq!(ApiPath::read(path).target, named, "{path}");
    }
    for path in ["/inventory/models", "/v1beta/models", "/models-of-cars"] {
        assert_eq!(ApiPath::read(path).target, Target::Other, "{path}");
    }
}

#[test]
fn what_nearly_is_a_call_is_a_near_miss() {
    for path in [
        "/v1/chat/completion",
        "/v1/chat/completions/extra",
        "/v1/chat-completions",
        "/v1/chatcompletions",
        "/chat/completion",
        "/v1/mesages",
        "/v1/embedding",
        "/v1/response/",
        "/v1/messages/batches",
        "/v1/messages/count_token",
        "/v1/responses/input_tokens/x",
        "/v1/embeddings/none",
        "/v1/complete",
        "/v2/chat",
        "/v1/batches",
        "/v1/threads/thread_1/runs",
        "/invocations",
        "/api/generate",
        "/openai/deployments/x/chat/completion",
        "/v1beta/models/gemini-2.5-pro:generateContent",
        "/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict",
        "/model/anthropic.claude/invoke",
    ] {
        let target = ApiPath::read(path).target;
        assert!(matches!(target, Target::NearMiss(_)), "{path}: {target:?}");
    }
}

#[test]
fn what_is_not_ours_is_left_alone() {
    for path in [
        "",
        "/",
        "*",
        "/v1/moderations",
        "/v1/images/generations",
        "/v1/audio/speech",
        "/v1/files",
        "/v1/chat/completions/chatcmpl-1",
        "/v1/responses/resp_1",
        "/v1/responses/resp_1/cancel",
        "/x?/v1/chat/completions",
        "/x#/v1/chat/completions",
        "/message",
        "/forms/1",
        "/v1/sessions",
        "/v1/usage",
    ] {
        assert_eq!(ApiPath::read(path).target, Target::Other, "{path}");
    }
    // Only the body can tell what these are.
    for path in ["/forms/responses", "/api/messages", "/v2/messages"] {
        let target = ApiPath::read(path).target;
        let is_doubtful = matches!(
            target,
            Target::Call {
                is_certain: false,
                ..
            }
        );
        assert!(is_doubtful, "{path}: {target:?}");
    }
}

#[test]
fn normalising_is_done_once_and_for_all() {
    for path in [
        "/a/b;c/../d//e/?x",
        "/%2e%2e/%252e/a%20b",
        "/%ff/%zz/%",
        "/ä/%C3%A4",
        "////",
        "..",
    ] {
        let once = normalise(path);
        assert_eq!(normalise(&once), once, "{path}");
        assert!(once.starts_with('/') && !once.contains("//"), "{once}");
    }
}
