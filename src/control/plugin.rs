//! The plugin configuration, as Envoy hands it over: the role of this filter instance, its policy, and the source of newer
//! policies.
//!
//! Read, checked and reported like a policy, by `schema`; its fields stand in `plugin::schema`. The policy in it is compiled by
//! `policy`, and its text is kept to be published.

mod remote_policy;
mod schema;
pub mod schema_docs;

use crate::control::policy_source::{self, fingerprint};
use crate::fleet::clusters::Failover;
use crate::policy::Policy;
use crate::policy::receipts::ReceiptMode;
use crate::schema::document::{self, Node, Value};
use crate::schema::suggest::quote;
use crate::schema::{InvalidDocument, Problem};
use crate::schema::{
    problems::Problems,
    shape::{Kind, check},
};
use crate::state::receipt::MAX_KEYS;
use crate::telemetry::state::FilterState;
use crate::telemetry::{Metric, header, metrics};
use schema::{ALLOWED_CLUSTERS, PLUGIN};

/// The role of an instance of the module.
#[derive(Debug, Clone, PartialEq)]
pub enum Role {
    /// A downstream filter: decides where each request goes.
    Router(Box<Plugin>),
    /// An upstream filter: fits each attempt to the backend that is tried. The request names the policy that decided it, which
    /// the router has published.
    Attempt(Failover),
}

impl Role {
    /// Compiles a configuration from the bytes that Envoy holds. A pure function of these bytes.
    ///
    /// # Errors
    /// [`InvalidDocument`] with every problem, those of the policy included.
    pub fn compile(configuration: &[u8]) -> Result<Role, InvalidDocument> {
        let (text, root) = read(configuration).map_err(InvalidDocument::from)?;
        let mut problems = Problems::new(text);
        check(&Kind::Object(&PLUGIN), &root, "", &mut problems);
        let source = Source { text, root: &root };
        let failover = source.failover(&mut problems);
        let role = match source.text_of("role") {
            Some("attempt") => {
                source.check_attempt(&mut problems);
                failover.map(Role::Attempt)
            }
            _ => {
                let router = source.router(failover.unwrap_or_default(), &mut problems);
                router.map(Box::new).map(Role::Router)
            }
        };
        problems.into_result()?;
        // INVARIANT: a configuration without a problem has a role.
        role.ok_or_else(|| InvalidDocument::from(whole("does not compile")))
    }

    /// The counters of faults that a module in this role shows from the start.
    pub fn faults(&self) -> &'static [Metric] {
        match self {
            Role::Router(_) => metrics::ROUTER_ERRORS,
            Role::Attempt(_) => metrics::ATTEMPT_ERRORS,
        }
    }
}

/// Headers that would break requests if Pointsman removed and set them.
const RESERVED: &[&str] = &[
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// The fields of an attempt filter.
const OF_ATTEMPTS: &[&str] = &["role", "failover", "max_chain_length"];

/// The compiled configuration of a router.
#[derive(Debug, Clone, PartialEq)]
pub struct Plugin {
    /// The request header that names the upstream cluster; lower case.
    pub cluster_header: String,
    /// How a request gets to another backend when an attempt fails. It has to fit Envoy's clusters and routes, so
    /// `pointsman render` writes both.
    pub failover: Failover,
    /// The inline policy, compiled.
    pub policy: Policy,
    /// The inline policy as it is written.
    pub policy_text: String,
    /// The source of newer policies; `None` if there is none.
    pub source: Option<policy_source::Source>,
    /// The limits of where any policy may send requests.
    pub bounds: policy_source::Bounds,
    /// The environment variables with the keys of receipts, the one that signs first.
    pub receipt_keys: Vec<String>,
    /// The values that requests set for access logs and spans.
    pub filter_state: FilterState,
    /// A hash of the policy, its source and the allowed clusters. Instances with the same hash share what is published; others
    /// never touch it. Each request carries it to its attempts.
    pub fingerprint: u64,
}

impl Plugin {
    /// Compiles a configuration that has to be a router's.
    ///
    /// # Errors
    /// As [`Role::compile`], and for the configuration of an attempt filter.
    pub fn compile(configuration: &[u8]) -> Result<Plugin, InvalidDocument> {
        match Role::compile(configuration)? {
            Role::Router(plugin) => Ok(*plugin),
            Role::Attempt(_) => Err(whole("is an attempt's, not a router's").into()),
        }
    }
}

/// Why no receipt of `policy` is made under this `filter_state`, as a problem of that field: they are for access logs alone.
/// `None` if they are made, or if the policy wants none. An inline policy is refused for it; one of a source is in force without.
pub fn receipts_problem(policy: &Policy, filter_state: FilterState) -> Option<&'static str> {
    let is_unmade = policy.receipts.mode == ReceiptMode::Log && !filter_state.is_on();
    is_unmade.then_some("`none` leaves no place for the policy's `receipts`, which are for access logs alone (`\"mode\": \"log\"`)")
}

/// A problem of the configuration as a whole.
fn whole(message: &str) -> Problem {
    Problem {
        at: "configuration".to_owned(),
        message: message.to_owned(),
        line: 1,
        column: 1,
    }
}

fn read(configuration: &[u8]) -> Result<(&str, Node), Problem> {
    let text = std::str::from_utf8(configuration).map_err(|_| whole("is not UTF-8"))?;
    if text.trim_ascii().is_empty() {
        return Err(whole("is empty; it needs at least `policy`"));
    }
    let root = document::read(text).map_err(|problem| Problem {
        at: "configuration".to_owned(),
        ..problem
    })?;
    match root.value {
        Value::Object(_) => Ok((text, root)),
        _ => Err(whole(&format!("expected an object, found {}", root.kind()))),
    }
}

/// A configuration as it is written.
struct Source<'t> {
    text: &'t str,
    root: &'t Node,
}

impl<'t> Source<'t> {
    /// See [`Plugin::fingerprint`].
    fn fingerprint(&self) -> u64 {
        let texts = ["policy", "policy_source", ALLOWED_CLUSTERS.name].map(|name| {
            let node = self.root.get(name);
            node.and_then(|node| self.text.get(node.at..node.end))
                .unwrap_or_default()
        });
        fingerprint(texts.join("\n").as_bytes())
    }

    /// Refuses the router's fields in the configuration of an attempt filter: they would be a second truth.
    #[inline(never)]
    fn check_attempt(&self, problems: &mut Problems<'_>) {
        let is_known = |name: &str| PLUGIN.fields.iter().any(|field| field.name == name);
        for member in self.root.members() {
            let name = member.name.as_str();
            if is_known(name) && !OF_ATTEMPTS.contains(&name) {
                let message = "is the router's: attempts go by what it publishes";
                problems.add(member.at, name, message);
            }
        }
    }

    #[inline(never)]
    fn router(&self, failover: Failover, problems: &mut Problems<'_>) -> Option<Plugin> {
        let cluster_header = self.cluster_header(problems);
        let policy = self.policy(problems);
        let source = self.policy_source(problems);
        let inline = policy.as_ref().map(|(policy, _)| policy);
        let by_name = failover != Failover::Off;
        let rendered = inline
            .filter(|_| source.is_some())
            .map(|policy| policy_source::Bounds::rendered(policy, by_name));
        let bounds = policy_source::Bounds {
            clusters: self.allowed_clusters(inline, source.is_some(), problems),
            ..rendered.unwrap_or_default()
        };
        let receipt_keys = self.receipt_keys(problems);
        let filter_state = self.filter_state(inline, problems);
        let (policy, policy_text) = policy?;
        Some(Plugin {
            cluster_header: cluster_header?,
            failover,
            policy,
            policy_text,
            source,
            bounds,
            receipt_keys,
            filter_state,
            fingerprint: self.fingerprint(),
        })
    }

    fn cluster_header(&self, problems: &mut Problems<'_>) -> Option<String> {
        let Some(node) = self.root.get("cluster_header") else {
            return Some(header::CLUSTER.to_owned());
        };
        let name = node.text().filter(|name| !name.is_empty())?;
        let is_token = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_|~".contains(&byte)
        };
        let problem = if !name.bytes().all(is_token) {
            "is not a lower-case header name"
        } else if RESERVED.contains(&name) {
            "is reserved in HTTP"
        } else {
            return Some(name.to_owned());
        };
        let message = format!("{} {problem}", quote(name));
        problems.add(node.at, "cluster_header", message);
        None
    }

    /// The names of the variables with the keys of receipts.
    #[inline(never)]
    fn receipt_keys(&self, problems: &mut Problems<'_>) -> Vec<String> {
        let items = self.root.items_of("receipt_keys");
        if let Some(third) = items.get(MAX_KEYS) {
            let message = "more than two keys: one signs, and one more is valid while they rotate";
            problems.add(third.at, format!("receipt_keys[{MAX_KEYS}]"), message);
        }
        for (index, item) in items.iter().enumerate() {
            let name = item.text().unwrap_or_default();
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if !name.bytes().all(is_name) {
                let message = format!("{} is not the name of an environment variable", quote(name));
                problems.add(item.at, format!("receipt_keys[{index}]"), message);
            }
        }
        let names = items.iter().filter_map(Node::text);
        names.map(str::to_owned).collect()
    }

    /// The values for access logs; a policy whose receipts go nowhere else needs them.
    #[inline(never)]
    fn filter_state(&self, policy: Option<&Policy>, problems: &mut Problems<'_>) -> FilterState {
        let node = self.root.get("filter_state");
        let Some(node) = node.filter(|node| node.text() == Some("none")) else {
            return FilterState::All;
        };
        if let Some(problem) = policy.and_then(|policy| receipts_problem(policy, FilterState::None))
        {
            problems.add(node.at, "filter_state", problem);
        }
        FilterState::None
    }

    #[inline(never)]
    fn failover(&self, problems: &mut Problems<'_>) -> Option<Failover> {
        match self.text_of("failover") {
            None | Some("off") => Some(Failover::Off),
            Some("per_attempt") => Some(Failover::PerAttempt),
            Some("aggregate") => {
                let length = self.root.get("max_chain_length");
                if length.is_none() {
                    let at = self
                        .root
                        .get("failover")
                        .map_or(self.root.at, |node| node.at);
                    let message = "`aggregate` needs `max_chain_length`, the most backends of a chain, from 1 to 9";
                    problems.add(at, "failover", message);
                }
                let max_chain_length = length?.number()? as usize;
                Some(Failover::Aggregate { max_chain_length })
            }
            Some(_) => None,
        }
    }

    #[inline(never)]
    fn policy(&self, problems: &mut Problems<'_>) -> Option<(Policy, String)> {
        let Some(node) = self.root.get("policy") else {
            problems.add(self.root.at, "", "missing field `policy`");
            return None;
        };
        if !matches!(node.value, Value::Object(_)) {
            return None;
        }
        let text = self.text.get(node.at..node.end)?;
        match Policy::compile(text) {
            Ok(policy) => Some((policy, text.to_owned())),
            Err(invalid) => {
                problems.add_inner(node.at, "policy", invalid);
                None
            }
        }
    }

    /// The text in a field; `None` if there is none.
    fn text_of(&self, name: &str) -> Option<&'t str> {
        self.root.get(name).and_then(Node::text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn problems(configuration: &str) -> Vec<String> {
        match Plugin::compile(configuration.as_bytes()) {
            Ok(plugin) => panic!("compiled: {plugin:?}"),
            Err(invalid) => invalid.problems.iter().map(Problem::to_string).collect(),
        }
    }

    #[test]
    fn every_problem_is_reported_with_its_place() {
        let text = "{\"rol\": \"router\",\n \"cluster_header\": \"X-Upper\", \"cluster_header\": 3, \"wholly_else\": 1}";
        assert_eq!(
            problems(text),
            [
                "missing field `policy`",
                "rol: unknown field `rol`; did you mean `role`?",
                "cluster_header: `X-Upper` is not a lower-case header name",
                "cluster_header: appears twice",
                "cluster_header: expected a string, found a number",
                "wholly_else: unknown field `wholly_else`; known: role, cluster_header, failover, max_chain_length, policy, policy_source, allowed_clusters, receipt_keys, filter_state",
            ]
        );
        let invalid = Plugin::compile(text.as_bytes()).unwrap_err();
        assert_eq!(
            (invalid.problems[3].line, invalid.problems[3].column),
            (2, 31)
        );
    }

    #[test]
    fn a_policys_problems_stand_under_policy() {
        let text = "{\n  \"policy\": {\"modles\": [],\n    \"backends\": 1}}";
        let invalid = Plugin::compile(text.as_bytes()).unwrap_err();
        let find = |at: &str| invalid.problems.iter().find(|problem| problem.at == at);
        let first = find("policy.modles").unwrap();
        assert!(first.message.contains("did you mean `models`?"), "{first}");
        assert_eq!((first.line, first.column), (2, 14));
        for problem in &invalid.problems {
            assert!(problem.at.starts_with("policy"), "{problem}");
        }
        assert_eq!(find("policy.backends").map(|problem| problem.line), Some(3));
    }

    #[test]
    fn failover_is_read_and_wrong_ones_are_refused() {
        let policy = crate::exchange::testing::POLICY;
        let failover = |members: &str| {
            let text = format!("{{{members}, \"policy\": {policy}}}");
            Plugin::compile(text.as_bytes()).unwrap().failover
        };
        let aggregate = r#""failover": "aggregate", "max_chain_length": 3"#;
        assert_eq!(
            failover(aggregate),
            Failover::Aggregate {
                max_chain_length: 3
            }
        );
        assert_eq!(
            failover(r#""failover": "per_attempt""#),
            Failover::PerAttempt
        );
        for wrong in [
            r#"{"failover": "aggregate"}"#,
            r#"{"failover": "agregate"}"#,
        ] {
            assert!(problems(wrong)[1].starts_with("failover: "), "{wrong}");
        }
    }

    #[test]
    fn former_names_are_answered_with_the_present_ones() {
        let policy = crate::exchange::testing::POLICY;
        assert_eq!(
            problems(&format!(
                r#"{{"failover": "aggregate", "links": 2, "max_chain_length": 2, "policy": {policy}}}"#
            )),
            ["links: `links` is called `max_chain_length` now"]
        );
    }

    #[test]
    fn an_attempt_has_nothing_but_its_failover() {
        let text = r#"{"role": "attempt", "failover": "aggregate", "max_chain_length": 3}"#;
        assert_eq!(
            Role::compile(text.as_bytes()),
            Ok(Role::Attempt(Failover::Aggregate {
                max_chain_length: 3
            }))
        );
        assert_eq!(
            problems(text),
            ["configuration: is an attempt's, not a router's"]
        );
        let policy = crate::exchange::testing::POLICY;
        assert_eq!(
            problems(&format!(
                r#"{{"role": "attempt", "policy": {policy}, "cluster_header": "x-to", "polic": 1}}"#
            )),
            [
                "policy: is the router's: attempts go by what it publishes",
                "cluster_header: is the router's: attempts go by what it publishes",
                "polic: unknown field `polic`; did you mean `policy`?"
            ]
        );
    }

    #[test]
    fn keys_of_receipts_are_names_of_variables_and_at_most_two() {
        let policy = crate::exchange::testing::POLICY;
        let with = |keys: &str| format!("{{\"receipt_keys\": {keys}, \"policy\": {policy}}}");
        let plugin = Plugin::compile(with(r#"["NEW_KEY", "OLD_KEY"]"#).as_bytes()).unwrap();
        assert_eq!(plugin.receipt_keys, ["NEW_KEY", "OLD_KEY"]);
        assert_eq!(
            problems(&with(r#"["A", "B=secret", "C"]"#)),
            [
                "receipt_keys[1]: `B=secret` is not the name of an environment variable",
                "receipt_keys[2]: more than two keys: one signs, and one more is valid while they rotate",
            ]
        );
        assert_eq!(
            problems(&with("[]")),
            ["receipt_keys: is empty: at least one is needed"]
        );
    }

    #[test]
    fn values_for_logs_are_all_or_none() {
        let with = |members: &str, policy: &str| format!("{{\"policy\": {policy}{members}}}");
        let policy = crate::exchange::testing::POLICY;
        let compiled = |members: &str| Plugin::compile(with(members, policy).as_bytes()).unwrap();
        assert_eq!(compiled("").filter_state, FilterState::All);
        let all = compiled(r#", "filter_state": "all""#);
        let none = compiled(r#", "filter_state": "none""#);
        assert_eq!(all.filter_state, FilterState::All);
        assert_eq!(none.filter_state, FilterState::None);
        assert_eq!(none.fingerprint, all.fingerprint);
        for (value, problem) in [
            (r#""non""#, "unknown value `non`; did you mean `none`?"),
            ("false", "expected a string, found a boolean"),
        ] {
            let members = format!(", \"filter_state\": {value}");
            let expected = format!("filter_state: {problem}");
            assert_eq!(problems(&with(&members, policy)), [expected]);
        }
        let none = r#", "filter_state": "none""#;
        for mode in ["on", "off"] {
            let receipts = format!(r#""receipts": {{"mode": "{mode}"}}"#);
            let policy = crate::exchange::testing::policy_with(&receipts);
            assert!(Plugin::compile(with(none, &policy).as_bytes()).is_ok());
        }
        let policy = crate::exchange::testing::policy_with(r#""receipts": {"mode": "log"}"#);
        assert_eq!(
            problems(&with(none, &policy)),
            [
                "filter_state: `none` leaves no place for the policy's `receipts`, which are for access logs alone (`\"mode\": \"log\"`)"
            ]
        );
        let policy = Policy::compile(&policy).unwrap();
        assert!(receipts_problem(&policy, FilterState::None).is_some());
        assert_eq!(receipts_problem(&policy, FilterState::All), None);
        assert_eq!(
            problems(r#"{"role": "attempt", "filter_state": "none"}"#),
            ["filter_state: is the router's: attempts go by what it publishes"]
        );
    }

    #[test]
    fn roles_that_do_not_exist_are_refused() {
        assert!(
            problems(r#"{"role": "ruoter", "policy": {}}"#)
                .contains(&"role: unknown value `ruoter`; did you mean `router`?".to_owned())
        );
        assert_eq!(
            problems(r#"{"role": 1}"#)[1],
            "role: expected a string, found a number"
        );
    }

    #[test]
    fn what_is_no_object_is_one_problem() {
        assert_eq!(
            problems("  "),
            ["configuration: is empty; it needs at least `policy`"]
        );
        assert_eq!(
            problems("[]"),
            ["configuration: expected an object, found a list"]
        );
        for text in ["{\"policy\":", "\u{0}", "{} {}"] {
            let found = problems(text);
            assert_eq!(found.len(), 1);
            assert!(
                found[0].starts_with("configuration: not JSON: "),
                "{}",
                found[0]
            );
        }
        assert_eq!(
            Plugin::compile(b"\"\xff\"").unwrap_err().to_string(),
            "configuration: is not UTF-8"
        );
    }

    #[test]
    fn headers_with_a_meaning_of_their_own_are_refused() {
        assert!(problems(r#"{"cluster_header": "host"}"#)[1].contains("is reserved"));
        assert!(problems(r#"{"cluster_header": ":path"}"#)[1].contains("not a lower-case"));
    }

    #[test]
    fn the_policys_text_is_kept_as_it_is_written() {
        let policy = crate::exchange::testing::POLICY;
        let text = format!("{{ \"cluster_header\": \"x-to\", \"policy\" : {policy} }}");
        let plugin = Plugin::compile(text.as_bytes()).unwrap();
        assert_eq!(plugin.policy_text, policy);
        assert_eq!(plugin.cluster_header, "x-to");
        let same = |text: &str| {
            Plugin::compile(text.as_bytes()).unwrap().fingerprint == plugin.fingerprint
        };
        assert!(same(&format!(
            r#"{{"role": "router", "policy": {policy}}}"#
        )));
        assert!(!same(&format!(
            r#"{{"policy": {policy} , "allowed_clusters": ["cluster-cpu", "cluster-gpu", "cluster-lpu", "fallback"]}}"#
        )));
        assert!(!same(&format!(
            r#"{{"policy": {}}}"#,
            policy.replacen('7', "8", 1)
        )));
    }
}
