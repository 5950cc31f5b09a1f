//! Compiles `policy_source` and `allowed_clusters` of a plugin configuration.

use super::Source;
use super::schema::{ALLOWED_CLUSTERS, DEFAULT_INTERVAL_MS, DEFAULT_MAX_BYTES, DEFAULT_TIMEOUT_MS};
use crate::control::policy_source::{self, check_clusters};
use crate::control::signature::PublicKey;
use crate::policy::Policy;
use crate::schema::document::Node;
use crate::schema::problems::Problems;
use crate::schema::suggest::quote;
use crate::sort;

impl Source<'_> {
    /// The source of policies; `None` if there is none, or if it is wrong.
    pub(super) fn policy_source(
        &self,
        problems: &mut Problems<'_>,
    ) -> Option<policy_source::Source> {
        compile(self.root.get("policy_source")?, problems)
    }

    /// The clusters that requests may be sent to. The inline policy is held to them as well.
    pub(super) fn allowed_clusters(
        &self,
        policy: Option<&Policy>,
        is_remote: bool,
        problems: &mut Problems<'_>,
    ) -> Option<Vec<String>> {
        let Some(node) = self.root.get(ALLOWED_CLUSTERS.name) else {
            let named = policy.filter(|_| is_remote)?.called_clusters();
            let mut named: Vec<String> = named.map(str::to_owned).collect();
            sort::sort(&mut named);
            named.dedup();
            return Some(named);
        };
        let items = node.items().iter().filter_map(Node::text);
        let allowed: Vec<String> = items.map(str::to_owned).collect();
        if let Some(policy) = policy
            && let Err(refusal) = check_clusters(policy, &allowed)
        {
            let at = self.root.get("policy").map_or(node.at, |policy| policy.at);
            problems.add(at, "policy", refusal.to_string());
        }
        Some(allowed)
    }
}

fn compile(node: &Node, problems: &mut Problems<'_>) -> Option<policy_source::Source> {
    let text = |name| node.get(name).and_then(Node::text);
    let number = |name| node.get(name).and_then(Node::number);
    let cluster = text("cluster")?;
    let path = text("path")?;
    let authority = text("authority").unwrap_or(cluster);
    let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let is_path = path.starts_with('/') && visible(path);
    if !path.is_empty() && !is_path {
        let at = node.get("path").map_or(node.at, |path| path.at);
        let message = format!(
            "{} is not a path: a path begins with `/` and has no spaces",
            quote(path)
        );
        problems.add(at, "policy_source.path", message);
    }
    if !visible(authority) {
        let at = node.get("authority").map_or(node.at, |node| node.at);
        let message = format!("{} is not a host: set `authority`", quote(authority));
        problems.add(at, "policy_source.authority", message);
    }
    let mut public_keys = Vec::new();
    let keys = node.get("public_keys").map_or(&[][..], Node::items);
    for (index, key) in keys.iter().enumerate() {
        match key.text().map(PublicKey::parse) {
            Some(Ok(key)) => public_keys.push(key),
            Some(Err(invalid)) => problems.add(
                key.at,
                format!("policy_source.public_keys[{index}]"),
                format!("{} {invalid}", quote(key.text().unwrap_or_default())),
            ),
            None => {}
        }
    }
    Some(policy_source::Source {
        cluster: cluster.to_owned(),
        path: path.to_owned(),
        authority: authority.to_owned(),
        interval_ms: number("interval_ms").map_or(DEFAULT_INTERVAL_MS, |number| number as u32),
        timeout_ms: number("timeout_ms").map_or(DEFAULT_TIMEOUT_MS, |number| number as u32),
        max_bytes: number("max_bytes").map_or(DEFAULT_MAX_BYTES, |number| number as usize),
        public_keys,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::super::Plugin;
    use crate::exchange::testing::POLICY;
    use crate::policy::Problem;

    const KEY: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

    fn with(members: &str) -> String {
        format!("{{{members}, \"policy\": {POLICY}}}")
    }

    fn problems(members: &str) -> Vec<String> {
        match Plugin::compile(with(members).as_bytes()) {
            Ok(plugin) => panic!("compiled: {plugin:?}"),
            Err(invalid) => invalid.problems.iter().map(Problem::to_string).collect(),
        }
    }

    #[test]
    fn a_source_has_defaults() {
        let text = with(r#""policy_source": {"cluster": "policies", "path": "/p.json"}"#);
        let plugin = Plugin::compile(text.as_bytes()).unwrap();
        let source = plugin.source.unwrap();
        assert_eq!(source.authority, "policies");
        assert_eq!((source.interval_ms, source.timeout_ms), (10_000, 5_000));
        assert_eq!(source.max_bytes, 1_048_576);
        assert_eq!(source.public_keys, []);
        let clusters = ["cluster-cpu", "cluster-gpu", "cluster-lpu", "fallback"];
        assert_eq!(plugin.bounds.clusters.unwrap(), clusters);
    }

    #[test]
    fn a_source_is_read_whole() {
        let text = with(&format!(
            r#""policy_source": {{"cluster": "c", "path": "/p?x=1", "authority": "host:8080", "interval_ms": 500,
                "timeout_ms": 200, "max_bytes": 2048, "public_keys": ["{KEY}", "{KEY}"]}},
            "allowed_clusters": ["cluster-cpu", "cluster-gpu", "cluster-lpu", "fallback", "more"]"#
        ));
        let plugin = Plugin::compile(text.as_bytes()).unwrap();
        let source = plugin.source.unwrap();
        assert_eq!(source.authority, "host:8080");
        assert_eq!(source.path, "/p?x=1");
        assert_eq!((source.interval_ms, source.timeout_ms), (500, 200));
        assert_eq!(source.max_bytes, 2048);
        assert_eq!(source.public_keys.len(), 2);
        assert_eq!(plugin.bounds.clusters.unwrap().len(), 5);
    }

    #[test]
    fn without_a_source_any_cluster_is_allowed_unless_some_are_named() {
        let plugin = Plugin::compile(with("\"role\": \"router\"").as_bytes()).unwrap();
        assert_eq!((plugin.source, plugin.bounds.clusters), (None, None));
        assert_eq!(
            problems(r#""allowed_clusters": ["cluster-cpu", "cluster-gpu", "fallback"]"#),
            [
                "policy: the policy names the cluster `cluster-lpu`, which is not allowed; allowed: `cluster-cpu`, `cluster-gpu`, `fallback`"
            ]
        );
    }

    #[test]
    fn every_mistake_is_named() {
        let members = r#""policy_source": {"path": "p q", "interval_m": 5, "interval_ms": 5, "timeout_ms": "1",
            "authority": "a b", "cluster": "c", "public_keys": ["abc"]}, "allowed_clusters": []"#;
        assert_eq!(
            problems(members)[..7],
            [
                "policy_source.path: `p q` is not a path: a path begins with `/` and has no spaces",
                "policy_source.interval_m: unknown field `interval_m`; did you mean `interval_ms`?",
                "policy_source.interval_ms: `5` is out of range: expected 100 to 86400000",
                "policy_source.timeout_ms: expected a whole number, found a string",
                "policy_source.authority: `a b` is not a host: set `authority`",
                "policy_source.public_keys[0]: `abc` is not an ed25519 public key: expected its 32 bytes in base64",
                "allowed_clusters: is empty: at least one is needed",
            ]
        );
        assert_eq!(
            problems(r#""policy_source": {}"#),
            [
                "policy_source: missing field `cluster`",
                "policy_source: missing field `path`"
            ]
        );
        assert_eq!(
            problems(r#""policy_source": "http://host/policy""#),
            ["policy_source: expected an object, found a string"]
        );
    }
}
