//! The plugin's configuration, as Envoy hands it over: which role this instance plays, its policy, and where the next one
//! comes from.
//!
//! Every problem is reported at once and with its place, those of the policy too, and the policy's own text is kept to be
//! published. What the policy says is `policy`'s business. The fields stand in `source`.

pub mod publish;
mod remote_policy;
mod source;

use std::fmt;

use crate::control::policy_source::{self, fingerprint};
use crate::fleet::clusters::Failover;
use crate::policy::Policy;
use crate::schema::document::{self, Node, Value};
use crate::schema::shape::unknown_field;
use crate::schema::suggest::{hint, quote};
use crate::schema::{InvalidPolicy, Problem};
use crate::telemetry::{Metric, header, metrics};
use source::ALLOWED_CLUSTERS;

/// What an instance of the module does.
#[derive(Debug, Clone, PartialEq)]
pub enum Role {
    /// A downstream filter: decides where each request goes.
    Router(Box<Plugin>),
    /// An upstream filter: puts what belongs to the backend that is tried into each attempt. By which policy, the request
    /// says: the router has published it.
    Attempt(Failover),
}

impl Role {
    /// Compiles a configuration from the bytes that Envoy holds. A pure function of these bytes.
    ///
    /// # Errors
    /// [`InvalidPlugin`] with every problem, those of the policy included.
    pub fn compile(configuration: &[u8]) -> Result<Role, InvalidPlugin> {
        let (text, root) = read(configuration).map_err(|problem| InvalidPlugin {
            problems: vec![problem],
        })?;
        let mut source = Source {
            text,
            root,
            problems: Vec::new(),
        };
        source.check_names();
        let is_attempt = source.is_attempt();
        let failover = source.failover();
        let role = match (is_attempt, failover) {
            (Some(true), failover) => {
                source.check_attempt();
                failover.map(Role::Attempt)
            }
            (Some(false), Some(failover)) => {
                source.router(failover).map(Box::new).map(Role::Router)
            }
            // What is wrong with the rest is said as well.
            (_, failover) => {
                source.router(failover.unwrap_or_default());
                None
            }
        };
        match role {
            Some(role) if source.problems.is_empty() => Ok(role),
            _ => Err(InvalidPlugin {
                problems: source.problems,
            }),
        }
    }

    /// The counters of faults that a module in this role shows from the start.
    pub fn faults(&self) -> &'static [Metric] {
        match self {
            Role::Router(_) => metrics::ROUTER_ERRORS,
            Role::Attempt(_) => metrics::ATTEMPT_ERRORS,
        }
    }
}

/// The roles that work.
const ROLES: &[&str] = &["router", "attempt"];

/// The ways in which a request gets to another backend; see [`Failover`].
const FAILOVERS: &[&str] = &["off", "aggregate", "per_attempt"];

/// Headers that would break requests if we removed and set them.
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

/// The fields that an attempt has.
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
    /// Where policies come from that replace it; `None` where it is the only one.
    pub source: Option<policy_source::Source>,
    /// Where requests may be sent, by any policy.
    pub bounds: policy_source::Bounds,
    /// A hash of the policy, its source and the clusters allowed: instances that agree on these share what is published, others
    /// never touch it. Attempts are told it with the request.
    pub fingerprint: u64,
}

/// A plugin configuration that does not compile: every problem at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidPlugin {
    /// All problems, in the order of the document; never empty. Those of the policy stand under `policy.`.
    pub problems: Vec<Problem>,
}

impl fmt::Display for InvalidPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidPlugin {}

impl Plugin {
    /// The same for a configuration that has to be a router's.
    ///
    /// # Errors
    /// As [`Role::compile`], and for that of an attempt.
    pub fn compile(configuration: &[u8]) -> Result<Plugin, InvalidPlugin> {
        match Role::compile(configuration)? {
            Role::Router(plugin) => Ok(*plugin),
            Role::Attempt(_) => Err(InvalidPlugin {
                problems: vec![whole("is an attempt's, not a router's")],
            }),
        }
    }
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
        _ => Err(whole(&format!("must be an object, not {}", root.kind()))),
    }
}

/// The configuration as it is written, and what is wrong with it.
struct Source<'a> {
    text: &'a str,
    root: Node,
    problems: Vec<Problem>,
}

impl Source<'_> {
    fn check_names(&mut self) {
        let mut found = Vec::new();
        let members = self.root.members();
        let known: Vec<&str> = source::PLUGIN.fields.iter().map(|one| one.name).collect();
        for (index, member) in members.iter().enumerate() {
            let name = member.name.as_str();
            let mut before = members.iter().take(index);
            if !known.contains(&name) {
                let message = unknown_field(&source::PLUGIN, name);
                found.push((member.at, name.to_owned(), message));
            } else if before.any(|other| other.name == name) {
                found.push((member.at, name.to_owned(), "stands here twice".to_owned()));
            }
        }
        for (at, name, message) in found {
            self.add(at, &name, message);
        }
    }

    /// See [`Plugin::fingerprint`].
    fn fingerprint(&self) -> u64 {
        let texts = ["policy", "policy_source", ALLOWED_CLUSTERS.name].map(|name| {
            let node = self.root.get(name);
            node.and_then(|node| self.text.get(node.at..node.end))
                .unwrap_or_default()
        });
        fingerprint(texts.join("\n").as_bytes())
    }

    /// Whether it is an attempt's; `None` where it is neither's.
    fn is_attempt(&mut self) -> Option<bool> {
        let Some((at, name)) = self.text_of("role")? else {
            return Some(false);
        };
        let message = match name.as_str() {
            "router" => return Some(false),
            "attempt" => return Some(true),
            _ => format!("unknown role {}{}", quote(&name), hint(&name, ROLES)),
        };
        self.add(at, "role", message);
        None
    }

    /// Whatever else stands in an attempt's would be a second truth.
    fn check_attempt(&mut self) {
        let members = self.root.members().iter();
        let known = |name: &str| source::PLUGIN.fields.iter().any(|one| one.name == name);
        let others = members.filter(|one| known(&one.name) && !OF_ATTEMPTS.contains(&&*one.name));
        let others: Vec<(usize, String)> = others.map(|one| (one.at, one.name.clone())).collect();
        for (at, name) in others {
            let message = "is the router's: attempts go by what it publishes".to_owned();
            self.add(at, &name, message);
        }
    }

    fn router(&mut self, failover: Failover) -> Option<Plugin> {
        let cluster_header = self.cluster_header();
        let policy = self.policy();
        let source = self.remote();
        let inline = policy.as_ref().map(|(policy, _)| policy);
        let by_name = failover != Failover::Off;
        let rendered = inline
            .filter(|_| source.is_some())
            .map(|policy| policy_source::Bounds::rendered(policy, by_name));
        let bounds = policy_source::Bounds {
            clusters: self.allowed_clusters(inline, source.is_some()),
            ..rendered.unwrap_or_default()
        };
        let (policy, policy_text) = policy?;
        Some(Plugin {
            cluster_header: cluster_header?,
            failover,
            policy,
            policy_text,
            source,
            bounds,
            fingerprint: self.fingerprint(),
        })
    }

    fn cluster_header(&mut self) -> Option<String> {
        let Some((at, name)) = self.text_of("cluster_header")? else {
            return Some(header::CLUSTER.to_owned());
        };
        let is_token = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_|~".contains(&byte)
        };
        let problem = if name.is_empty() || !name.bytes().all(is_token) {
            "is not a lower-case header name"
        } else if RESERVED.contains(&name.as_str()) {
            "has a meaning of its own in HTTP"
        } else {
            return Some(name);
        };
        let message = format!("{} {problem}", quote(&name));
        self.add(at, "cluster_header", message);
        None
    }

    fn failover(&mut self) -> Option<Failover> {
        let max_chain_length = self.max_chain_length();
        let Some((at, name)) = self.text_of("failover")? else {
            return Some(Failover::Off);
        };
        let message = match (name.as_str(), max_chain_length) {
            ("off", _) => return Some(Failover::Off),
            ("per_attempt", _) => return Some(Failover::PerAttempt),
            ("aggregate", Some(max_chain_length)) => {
                return Some(Failover::Aggregate { max_chain_length });
            }
            ("aggregate", None) => {
                "`aggregate` needs `max_chain_length`, the most backends of a chain, from 1 to 9"
                    .to_owned()
            }
            _ => format!(
                "unknown failover {}{}",
                quote(&name),
                hint(&name, FAILOVERS)
            ),
        };
        self.add(at, "failover", message);
        None
    }

    /// The most max_chain_length of a chain, where that is a whole number from 1 to 9.
    fn max_chain_length(&self) -> Option<usize> {
        let number = self.root.get("max_chain_length")?.number()?;
        (number.fract() == 0.0 && (1.0..=9.0).contains(&number)).then_some(number as usize)
    }

    fn policy(&mut self) -> Option<(Policy, String)> {
        let Some(node) = self.root.get("policy") else {
            self.add(self.root.at, "policy", "is missing".to_owned());
            return None;
        };
        let at = node.at;
        let text = self.text.get(at..node.end)?;
        match Policy::compile(text) {
            Ok(policy) => Some((policy, text.to_owned())),
            Err(InvalidPolicy { problems }) => {
                let start = document::place(self.text, at);
                let inside = |problem| move_into_policy(problem, start);
                self.problems.extend(problems.into_iter().map(inside));
                None
            }
        }
    }

    /// A string field and the byte at which it stands; `Some(None)` where it is not there, `None` where it is no string.
    fn text_of(&mut self, name: &str) -> Option<Option<(usize, String)>> {
        let Some(node) = self.root.get(name) else {
            return Some(None);
        };
        if let Some(text) = node.text() {
            return Some(Some((node.at, text.to_owned())));
        }
        let message = format!("must be a string, not {}", node.kind());
        self.add(node.at, name, message);
        None
    }

    fn add(&mut self, at: usize, name: &str, message: String) {
        let (line, column) = document::place(self.text, at);
        self.problems.push(Problem {
            at: name.to_owned(),
            message,
            line,
            column,
        });
    }
}

/// A problem of the policy as one of the configuration, in which the policy begins at line and column `start`.
fn move_into_policy(problem: Problem, start: (u32, u32)) -> Problem {
    let mut at = String::from("policy");
    if !problem.at.is_empty() && !problem.at.starts_with('[') {
        at.push('.');
    }
    at.push_str(&problem.at);
    let column = match problem.line {
        1 => problem.column + start.1 - 1,
        _ => problem.column,
    };
    Problem {
        at,
        message: problem.message,
        line: problem.line + start.0 - 1,
        column,
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
                "rol: unknown field `rol`; did you mean `role`?",
                "cluster_header: stands here twice",
                "wholly_else: unknown field `wholly_else`; known: role, cluster_header, failover, max_chain_length, policy, policy_source, allowed_clusters",
                "cluster_header: `X-Upper` is not a lower-case header name",
                "policy: is missing",
            ]
        );
        let invalid = Plugin::compile(text.as_bytes()).unwrap_err();
        assert_eq!(
            (invalid.problems[1].line, invalid.problems[1].column),
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
            assert!(problems(wrong)[0].starts_with("failover: "), "{wrong}");
        }
    }

    #[test]
    fn former_names_are_answered_with_the_present_ones() {
        let policy = crate::exchange::testing::POLICY;
        assert_eq!(
            problems(&format!(
                r#"{{"failover": "aggregate", "max_chain_length": 2, "max_chain_length": 2, "policy": {policy}}}"#
            )),
            ["max_chain_length: `max_chain_length` is called `max_chain_length` now"]
        );
    }

    #[test]
    fn an_attempt_has_nothing_but_its_way_of_failing_over() {
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
                "polic: unknown field `polic`; did you mean `policy`?",
                "policy: is the router's: attempts go by what it publishes",
                "cluster_header: is the router's: attempts go by what it publishes"
            ]
        );
    }

    #[test]
    fn roles_that_do_not_exist_are_refused() {
        assert!(
            problems(r#"{"role": "ruoter", "policy": {}}"#)
                .contains(&"role: unknown role `ruoter`; did you mean `router`?".to_owned())
        );
        assert_eq!(
            problems(r#"{"role": 1}"#)[0],
            "role: must be a string, not a number"
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
            ["configuration: must be an object, not a list"]
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
        assert!(problems(r#"{"cluster_header": "host"}"#)[0].contains("meaning of its own"));
        assert!(problems(r#"{"cluster_header": ":path"}"#)[0].contains("not a lower-case"));
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
