//! The plugin's configuration, as Envoy hands it over: which role this instance plays, and its policy.
//!
//! Read by hand rather than by a derived deserializer, because every problem is reported at once and with its place, and
//! because the policy's own text is kept to be published. What the policy says is `policy`'s business.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::policy::{InvalidPolicy, Policy, Problem};
use crate::telemetry::header;

/// What an instance of the module does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A downstream filter: decides where each request goes.
    Router,
}

/// The fields of the configuration.
const FIELDS: &[&str] = &["role", "cluster_header", "policy"];

/// A compiled plugin configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Plugin {
    /// What this instance does.
    pub role: Role,
    /// The request header that names the upstream cluster; lower case.
    pub cluster_header: String,
    /// The inline policy, compiled.
    pub policy: Policy,
    /// The inline policy as it is written.
    pub policy_text: String,
    /// A hash of the whole configuration: instances with the same configuration share one published policy, others never
    /// touch it.
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
    /// Compiles a configuration from the bytes that Envoy holds. A pure function of these bytes.
    ///
    /// # Errors
    /// [`InvalidPlugin`] with every problem, those of the policy included.
    pub fn compile(configuration: &[u8]) -> Result<Plugin, InvalidPlugin> {
        let mut problems = Vec::new();
        let fields = match Fields::parse(configuration) {
            Ok(fields) => fields,
            Err(problem) => {
                return Err(InvalidPlugin {
                    problems: vec![problem],
                });
            }
        };
        fields.check_names(&mut problems);
        let role = compile_role(&fields, &mut problems);
        let cluster_header = compile_cluster_header(&fields, &mut problems);
        let policy = compile_policy(&fields, &mut problems);
        match (role, cluster_header, policy) {
            (Some(role), Some(cluster_header), Some((policy, policy_text)))
                if problems.is_empty() =>
            {
                Ok(Plugin {
                    role,
                    cluster_header,
                    policy,
                    policy_text,
                    fingerprint: fingerprint(configuration),
                })
            }
            _ => Err(InvalidPlugin { problems }),
        }
    }
}

/// FNV-1a, 64 bits: tells configurations apart; nothing secret rests on it.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

/// The configuration's fields as they stand there, duplicates included.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Fields<'a> {
    fn parse(configuration: &'a [u8]) -> Result<Fields<'a>, Problem> {
        if configuration.iter().all(u8::is_ascii_whitespace) {
            return Err(problem(
                "configuration",
                "is empty: it needs at least `policy`".into(),
            ));
        }
        serde_json::from_slice(configuration)
            .map_err(|error| problem("configuration", format!("is not a JSON object: {error}")))
    }

    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| *value)
    }

    fn check_names(&self, problems: &mut Vec<Problem>) {
        for (index, (name, _)) in self.0.iter().enumerate() {
            if !FIELDS.contains(&name.as_str()) {
                let meant = nearest(name, FIELDS);
                problems.push(problem(name, unknown("field", name, meant)));
            } else if self.0.iter().take(index).any(|(before, _)| before == name) {
                problems.push(problem(name, "stands here twice".into()));
            }
        }
    }

    fn string(&self, name: &str, problems: &mut Vec<Problem>) -> Option<String> {
        match serde_json::from_str(self.get(name)?.get()) {
            Ok(text) => Some(text),
            Err(_) => {
                problems.push(problem(name, "must be a string".into()));
                None
            }
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Reader).map(Fields)
    }
}

fn compile_role(fields: &Fields<'_>, problems: &mut Vec<Problem>) -> Option<Role> {
    if fields.get("role").is_none() {
        return Some(Role::Router);
    }
    let name = fields.string("role", problems)?;
    match name.as_str() {
        "router" => Some(Role::Router),
        "attempt" => {
            problems.push(problem("role", "`attempt` is not supported yet".into()));
            None
        }
        _ => {
            let meant = nearest(&name, &["router"]);
            problems.push(problem("role", unknown("role", &name, meant)));
            None
        }
    }
}

fn compile_cluster_header(fields: &Fields<'_>, problems: &mut Vec<Problem>) -> Option<String> {
    if fields.get("cluster_header").is_none() {
        return Some(header::CLUSTER.to_owned());
    }
    let name = fields.string("cluster_header", problems)?;
    let is_token = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
    };
    if name.is_empty() || !name.bytes().all(is_token) {
        problems.push(problem(
            "cluster_header",
            format!("`{name}` is not a lower-case header name"),
        ));
        return None;
    }
    if RESERVED.contains(&name.as_str()) {
        problems.push(problem(
            "cluster_header",
            format!(
                "`{name}` has a meaning of its own in HTTP; choose a name such as `{}`",
                header::CLUSTER
            ),
        ));
        return None;
    }
    Some(name)
}

/// Headers that would break requests if we removed and set them.
const RESERVED: &[&str] = &[
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "authorization",
    "te",
    "expect",
    "upgrade",
];

fn compile_policy(fields: &Fields<'_>, problems: &mut Vec<Problem>) -> Option<(Policy, String)> {
    let Some(raw) = fields.get("policy") else {
        problems.push(problem("policy", "is missing".into()));
        return None;
    };
    let text = raw.get();
    match Policy::compile(text) {
        Ok(policy) => Some((policy, text.to_owned())),
        Err(InvalidPolicy { problems: found }) => {
            problems.extend(found.into_iter().map(|found| Problem {
                at: place_in_policy(&found.at),
                ..found
            }));
            None
        }
    }
}

fn place_in_policy(at: &str) -> String {
    let mut place = String::from("policy");
    if !at.is_empty() && !at.starts_with('[') {
        place.push('.');
    }
    place.push_str(at);
    place
}

fn problem(at: &str, message: String) -> Problem {
    Problem {
        at: at.to_owned(),
        message,
    }
}

fn unknown(what: &str, name: &str, meant: Option<&str>) -> String {
    match meant {
        Some(meant) => format!("unknown {what} `{name}`, did you mean `{meant}`?"),
        None => format!("unknown {what} `{name}`"),
    }
}

/// The candidate that differs least from `name`, if it differs in no more than a third of its letters.
fn nearest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates
        .iter()
        .map(|candidate| (distance(name, candidate), *candidate))
        .filter(|(distance, candidate)| distance * 3 <= candidate.len().max(3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance in bytes.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(right.bytes()) {
            let above = *cell;
            *cell = (diagonal + usize::from(a != b))
                .min(above + 1)
                .min(before + 1);
            diagonal = above;
            before = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(left.len())
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
        let found = problems(
            r#"{"rol": "router", "cluster_header": "X-Upper", "cluster_header": 3, "wholly_else": 1}"#,
        );
        assert_eq!(
            found,
            [
                "rol: unknown field `rol`, did you mean `role`?",
                "cluster_header: stands here twice",
                "wholly_else: unknown field `wholly_else`",
                "cluster_header: `X-Upper` is not a lower-case header name",
                "policy: is missing",
            ]
        );
    }

    #[test]
    fn a_policys_problems_stand_under_policy() {
        let found = problems(r#"{"policy": {"no_such_field": 1}}"#);
        assert!(!found.is_empty());
        for line in found {
            assert!(line.starts_with("policy"), "{line}");
        }
        assert_eq!(
            place_in_policy("backends[3].price"),
            "policy.backends[3].price"
        );
        assert_eq!(place_in_policy(""), "policy");
    }

    #[test]
    fn roles_that_do_not_work_yet_are_refused() {
        assert!(
            problems(r#"{"role": "attempt", "policy": {}}"#)
                .contains(&"role: `attempt` is not supported yet".to_owned())
        );
        assert!(
            problems(r#"{"role": "ruoter", "policy": {}}"#)
                .contains(&"role: unknown role `ruoter`, did you mean `router`?".to_owned())
        );
    }

    #[test]
    fn what_is_no_object_is_one_problem() {
        assert_eq!(
            problems("  "),
            ["configuration: is empty: it needs at least `policy`"]
        );
        for text in ["[]", "\"policy\"", "{\"policy\":", "\u{0}", "{} {}"] {
            let found = problems(text);
            assert_eq!(found.len(), 1);
            assert!(
                found[0].starts_with("configuration: is not a JSON object: "),
                "{}",
                found[0]
            );
        }
    }

    #[test]
    fn headers_with_a_meaning_of_their_own_are_refused() {
        assert!(problems(r#"{"cluster_header": "host"}"#)[0].contains("meaning of its own"));
        assert!(problems(r#"{"cluster_header": ":path"}"#)[0].contains("not a lower-case"));
    }

    #[test]
    fn distances_are_levenshtein() {
        assert_eq!(distance("", ""), 0);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("flaw", "lawn"), 2);
        assert_eq!(distance("abc", ""), 3);
    }
}
