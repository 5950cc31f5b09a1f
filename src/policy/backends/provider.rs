//! The provider of a backend, in the words of OpenTelemetry's conventions for generative AI (`gen_ai.provider.name`).

use crate::api::{Api, Apis};
use crate::fleet::Endpoint;
use crate::schema::document::Node;

/// Suffixes of host names and the provider there, by the conventions' name if they have one.
const HOSTS: &[(&str, &str)] = &[
    ("openai.com", "openai"),
    ("openai.azure.com", "azure.ai.openai"),
    ("cognitiveservices.azure.com", "azure.ai.openai"),
    ("services.ai.azure.com", "azure.ai.inference"),
    ("models.ai.azure.com", "azure.ai.inference"),
    ("inference.ai.azure.com", "azure.ai.inference"),
    ("anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    ("groq.com", "groq"),
    ("mistral.ai", "mistral_ai"),
    ("deepseek.com", "deepseek"),
    ("moonshot.ai", "moonshot_ai"),
    ("moonshot.cn", "moonshot_ai"),
    ("x.ai", "x_ai"),
    ("perplexity.ai", "perplexity"),
    ("cohere.com", "cohere"),
    ("cohere.ai", "cohere"),
    ("ml.cloud.ibm.com", "ibm.watsonx.ai"),
    ("openrouter.ai", "openrouter"),
    ("together.xyz", "together_ai"),
    ("together.ai", "together_ai"),
    ("fireworks.ai", "fireworks_ai"),
    ("cerebras.ai", "cerebras"),
    ("sambanova.ai", "sambanova"),
    ("huggingface.co", "hugging_face"),
];

pub(crate) fn compile_provider(node: &Node, endpoint: Option<&Endpoint>, apis: Apis) -> String {
    let stated = node.text_of("provider").filter(|text| !text.is_empty());
    let known = || endpoint.and_then(|endpoint| find(&endpoint.host));
    stated.or_else(known).unwrap_or(family(apis)).to_owned()
}

/// The provider at a host; `None` if it is unknown.
fn find(host: &str) -> Option<&'static str> {
    let host = host.to_ascii_lowercase();
    let host = host.trim_end_matches('.');
    // `bedrock-runtime.REGION.amazonaws.com`, and the same behind a private link.
    if host.ends_with(".amazonaws.com") && host.contains("bedrock") {
        return Some("aws.bedrock");
    }
    let is_end = |end: &str| {
        let before = host.strip_suffix(end);
        // Regions stand before `-aiplatform`.
        before.is_some_and(|rest| rest.is_empty() || rest.ends_with(['.', '-']))
    };
    let mut hosts = HOSTS.iter();
    hosts.find(|(end, _)| is_end(end)).map(|(_, name)| *name)
}

/// The family of its APIs.
fn family(apis: Apis) -> &'static str {
    if apis == Apis::only(Api::AnthropicMessages) {
        "anthropic"
    } else {
        "openai"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_known_by_their_ends() {
        for (host, expected) in [
            ("api.openai.com", Some("openai")),
            ("my-resource.openai.azure.com", Some("azure.ai.openai")),
            (
                "bedrock-runtime.us-east-1.amazonaws.com",
                Some("aws.bedrock"),
            ),
            ("s3.us-east-1.amazonaws.com", None),
            (
                "us-central1-aiplatform.googleapis.com",
                Some("gcp.vertex_ai"),
            ),
            ("generativelanguage.googleapis.com", Some("gcp.gemini")),
            ("API.Groq.com", Some("groq")),
            ("api.x.ai", Some("x_ai")),
            ("vertex.ai", None),
            ("notopenai.com", None),
            ("vllm.models.svc", None),
            ("10.0.0.1", None),
        ] {
            assert_eq!(find(host), expected, "{host}");
        }
    }

    #[test]
    fn the_api_names_a_family() {
        assert_eq!(family(Apis::only(Api::AnthropicMessages)), "anthropic");
        assert_eq!(
            family(Apis::only(Api::OpenAiChat).with(Api::AnthropicMessages)),
            "openai"
        );
    }
}
