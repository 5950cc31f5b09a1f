//! Profiles: the named objectives by which a candidate is chosen. Fields, compilation, and the built-in ones.

pub(crate) mod limits;
pub(crate) mod lint;

use crate::fleet::ramp::Ramp;
use crate::fleet::{Backend, Model};
use crate::policy::profiles::limits::{LIMIT_NAMES, LIMITS, check_relax};
use crate::policy::scaling::{PROFILE_RAMP_FIELD, compile_profile_ramp};
use crate::schema::document::Node;
use crate::schema::problems::{Problems, join};
use crate::schema::shape::{AT_LEAST_ZERO, Kind, Shape, optional};
use crate::schema::suggest::{hint, quote, unknown};
use crate::sort;

pub use limits::{LIMIT_COUNT, Limit, Limits};

/// The factor on lg P(correct): losing a tenth of the correct answers weighs 0.92, about as much as ten times the cost.
pub const QUALITY_SCALE: f64 = 20.0;

/// The relative importance of cost, latency and quality. INVARIANT: non-negative and summing to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// Of the estimated cost.
    pub cost: f64,
    /// Of the estimated median time to the whole answer.
    pub latency: f64,
    /// Of the probability of a correct answer.
    pub quality: f64,
}

/// A named objective.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// The name that clients ask for.
    pub name: String,
    /// The relative importance of cost, latency and quality.
    pub weights: Weights,
    /// The limits of candidates.
    pub limits: Limits,
    /// The limits that give way, in order, if no candidate keeps them all; the others never do.
    pub relax: Vec<Limit>,
    /// Tags that a backend must have, sorted.
    pub tags: Vec<String>,
    /// The share of conversations that it applies to, and the name of the profile for the others; `None` if it applies to
    /// all.
    pub ramp: Option<(Ramp, String)>,
}

impl Profile {
    fn built_in(name: &str, [cost, latency, quality]: [f64; 3], max_quality_loss: f64) -> Profile {
        Profile {
            name: name.into(),
            weights: Weights {
                cost,
                latency,
                quality,
            },
            limits: Limits::NONE.with(Limit::MaxQualityLoss, max_quality_loss),
            relax: Limit::ALL.to_vec(),
            tags: Vec::new(),
            ramp: None,
        }
    }

    /// The profiles that every policy has unless it overrides them.
    ///
    /// The weights of `auto` are tuned on rated everyday prompts: with fleets of two to four models at common prices it
    /// loses at most 1.2 points against the best model (`models/README.md`). Its limit is a guard that rarely binds.
    pub fn built_ins() -> [Profile; 4] {
        [
            Profile::built_in("auto", [0.15, 0.15, 0.70], 0.10),
            Profile::built_in("auto:cheap", [0.75, 0.05, 0.20], 0.30),
            Profile::built_in("auto:fast", [0.10, 0.75, 0.15], 0.20),
            Profile::built_in("auto:best", [0.05, 0.05, 0.90], 0.02),
        ]
    }
}

/// One of `profiles`.
pub const PROFILE: Shape = Shape {
    name: "profile",
    doc: "A named objective. Among the candidates within its limits, the one with the smallest weighted sum of cost, latency and lost quality wins.",
    fields: &[
        optional(
            "weights",
            Kind::Object(&WEIGHTS),
            "those of the built-in profile of this name, else of `auto`",
            "The relative importance of cost, latency and quality.",
        ),
        optional(
            "limits",
            Kind::Object(&LIMITS),
            "those of the built-in profile of this name, else none",
            "The limits that a candidate must keep.",
        ),
        optional(
            "relax",
            Kind::List {
                of: &Kind::Choice(LIMIT_NAMES),
                min: 0,
            },
            "every limit, in the order of the table of limits",
            "The limits that give way, in this order, if no candidate keeps all of them; each gives way no further than necessary. A limit that is not listed never gives way: the request is refused.",
        ).formerly_with(&[("within_of_best", "max_quality_loss")]),
        optional(
            "tags",
            Kind::List {
                of: &Kind::Text,
                min: 0,
            },
            "none",
            "Tags that a backend must have.",
        ),
        PROFILE_RAMP_FIELD,
    ],
};

/// `weights` of a profile.
pub const WEIGHTS: Shape = Shape {
    name: "weights",
    doc: "Only the ratio of the weights matters. With equal weights, ten times the cost, ten times the latency and the loss of a tenth of the correct answers weigh about the same.",
    fields: &[
        optional(
            "cost",
            AT_LEAST_ZERO,
            "`0`",
            "Weight of the estimated cost.",
        ),
        optional(
            "latency",
            AT_LEAST_ZERO,
            "`0`",
            "Weight of the estimated median time to the whole answer.",
        ),
        optional(
            "quality",
            AT_LEAST_ZERO,
            "`0`",
            "Weight of the probability of a correct answer.",
        ),
    ],
};

#[inline(never)]
pub(crate) fn compile_profiles(
    root: &Node,
    models: &[Model],
    backends: &[Backend],
    problems: &mut Problems<'_>,
) -> Vec<Profile> {
    let mut profiles: Vec<Profile> = Profile::built_ins().into();
    for member in root.get("profiles").into_iter().flat_map(Node::members) {
        let path = join("profiles", &member.name);
        let profile = compile_profile(&member.name, &member.value, &path, problems);
        check_tags(&profile, &member.value, &path, backends, problems);
        match profiles.iter_mut().find(|known| known.name == profile.name) {
            Some(known) => *known = profile,
            None => profiles.push(profile),
        }
    }
    for (index, model) in models.iter().enumerate() {
        if profiles.iter().any(|profile| profile.name == model.name) {
            let at = root
                .items_of("models")
                .get(index)
                .map_or(0, |node| node.offset_of("name"));
            let message = format!(
                "{} is also the name of a profile: clients could not choose between them",
                quote(&model.name)
            );
            problems.add(at, format!("models[{index}].name"), message);
        }
    }
    sort::sort_by(&mut profiles, |left, right| left.name.cmp(&right.name));
    check_profile_ramps(&profiles, root, problems);
    profiles
}

#[inline(never)]
fn compile_profile(name: &str, node: &Node, path: &str, problems: &mut Problems<'_>) -> Profile {
    let [auto, ..] = Profile::built_ins();
    let built_in = Profile::built_ins()
        .into_iter()
        .find(|profile| profile.name == name);
    let weights = match node.get("weights") {
        Some(weights) => compile_weights(weights, path, problems),
        None => built_in
            .as_ref()
            .map_or(auto.weights, |built_in| built_in.weights),
    };
    let limits = match node.get("limits") {
        Some(limits) => Limit::ALL.into_iter().fold(Limits::NONE, |stated, limit| {
            match limits.number_of(limit.name()) {
                Some(number) => stated.with(limit, number),
                None => stated,
            }
        }),
        None => built_in.map_or(Limits::NONE, |built_in| built_in.limits),
    };
    let relax = node.get("relax").map_or(Limit::ALL.to_vec(), |list| {
        list.items()
            .iter()
            .filter_map(|item| {
                let name = item.text()?;
                Limit::ALL.into_iter().find(|limit| limit.name() == name)
            })
            .collect()
    });
    if let Some(list) = node.get("relax") {
        check_relax(list, &limits, path, problems);
    }
    Profile {
        name: name.to_owned(),
        weights,
        limits,
        relax,
        tags: node.sorted_texts_of("tags"),
        ramp: compile_profile_ramp(node, path, problems),
    }
}

#[inline(never)]
fn compile_weights(node: &Node, path: &str, problems: &mut Problems<'_>) -> Weights {
    let number = |name| node.number_of(name).unwrap_or_default();
    let (cost, latency, quality) = (number("cost"), number("latency"), number("quality"));
    let sum = cost + latency + quality;
    if sum <= 0.0 || !sum.is_finite() {
        problems.add(
            node.at,
            format!("{path}.weights"),
            "at least one weight must be more than 0",
        );
    }
    Weights {
        cost: cost / sum,
        latency: latency / sum,
        quality: quality / sum,
    }
}

/// Adds a problem for each tag that a profile requires and no backend has.
fn check_tags(
    profile: &Profile,
    node: &Node,
    path: &str,
    backends: &[Backend],
    problems: &mut Problems<'_>,
) {
    let mut known: Vec<&str> = backends
        .iter()
        .flat_map(|backend| backend.tags.iter().map(String::as_str))
        .collect();
    sort::sort(&mut known);
    known.dedup();
    for (index, item) in node.items_of("tags").iter().enumerate() {
        let Some(tag) = item.text() else { continue };
        if !profile.tags.iter().any(|own| own == tag) || known.contains(&tag) {
            continue;
        }
        let message = format!("no backend has the tag {}{}", quote(tag), hint(tag, &known));
        problems.add(item.at, format!("{path}.tags[{index}]"), message);
    }
}

/// Adds a problem for each profile that takes the place of one that does not exist, of itself, or of one that ramps as well.
#[inline(never)]
pub(crate) fn check_profile_ramps(profiles: &[Profile], root: &Node, problems: &mut Problems<'_>) {
    for member in root.get("profiles").map_or(&[][..], Node::members) {
        let Some(ramp) = member.value.get("ramp") else {
            continue;
        };
        let Some(from) = ramp.text_of("from").filter(|from| !from.is_empty()) else {
            continue;
        };
        let message = match profiles.iter().find(|profile| profile.name == from) {
            None => {
                let known: Vec<&str> = profiles
                    .iter()
                    .map(|profile| profile.name.as_str())
                    .collect();
                unknown("profile", from, &known)
            }
            Some(_) if from == member.name => "is this profile itself".to_owned(),
            Some(other) if other.ramp.is_some() => {
                format!("{} has a ramp itself", quote(from))
            }
            Some(_) => continue,
        };
        let path = join(&join(&join("profiles", &member.name), "ramp"), "from");
        problems.add(ramp.offset_of("from"), path, message);
    }
}
