//! `then` of a rule: fields and compilation.

use crate::fleet::{Backend, Model, ModelId};
use crate::policy::profiles::Profile;
use crate::schema::document::Node;
use crate::schema::problems::{Problems, check_names, join};
use crate::schema::shape::{FRACTION, Kind, Shape, optional};
use crate::schema::suggest::unknown;
use crate::sort;

/// Consequences; those that are not stated change nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Then {
    /// Only these models may answer, if not empty.
    pub models: Vec<ModelId>,
    /// Tags that a backend must have.
    pub tags: Vec<String>,
    /// The preference; followed if a backend meets it along with everything else.
    pub prefer: Option<Preference>,
    /// The minimum probability of a correct answer.
    pub min_quality: Option<f32>,
    /// Name of the profile that is used.
    pub profile: Option<String>,
    /// The request is refused with this message.
    pub reject: Option<String>,
}

/// The preference of a rule.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Preference {
    /// One of these models, if not empty.
    pub models: Vec<ModelId>,
    /// A backend with all of these tags.
    pub tags: Vec<String>,
}

impl Preference {
    /// Whether `backend` is such.
    pub fn is_met_by(&self, backend: &Backend) -> bool {
        (self.models.is_empty() || self.models.contains(&backend.model))
            && self.tags.iter().all(|tag| backend.tags.contains(tag))
    }
}

impl Then {
    /// Whether it says anything that holds for a pinned model too.
    pub fn binds_pinned(&self) -> bool {
        !self.tags.is_empty() || self.reject.is_some()
    }
}

/// `then` of a rule.
pub const THEN: Shape = Shape {
    name: "then",
    doc: "Consequences. At least one must be stated.",
    fields: &[
        optional(
            "models",
            Kind::List {
                of: &Kind::Text,
                min: 1,
            },
            "any",
            "Only these models may answer.",
        ),
        optional(
            "tags",
            Kind::List {
                of: &Kind::Text,
                min: 1,
            },
            "none",
            "Tags that a backend must have. They apply to fallbacks too and never give way.",
        ),
        optional(
            "prefer",
            Kind::Object(&PREFER),
            "nothing",
            "A preference. It is followed if a backend meets it along with everything else: the rules' `models` and `tags`, the needs of the request, and the limits of the profile. Of several rules the first one that can be followed counts.",
        ),
        optional(
            "min_quality",
            FRACTION,
            "that of the profile",
            "The minimum probability of a correct answer. It gives way as the profile's own limit does.",
        ),
        optional(
            "profile",
            Kind::Text,
            "the one asked for",
            "The profile that replaces the one asked for.",
        ),
        optional(
            "reject",
            Kind::Text,
            "it is not refused",
            "The request is refused with 403 and this message.",
        ),
    ],
};

/// `prefer` of a rule's `then`.
pub const PREFER: Shape = Shape {
    name: "prefer",
    doc: "Models, tags or both; both must match. If no eligible backend matches, the preference has no effect. It never refuses a request.",
    fields: &[
        optional(
            "models",
            Kind::List {
                of: &Kind::Text,
                min: 1,
            },
            "any",
            "One of these models.",
        ),
        optional(
            "tags",
            Kind::List {
                of: &Kind::Text,
                min: 1,
            },
            "none",
            "Tags of the backend, all of them.",
        ),
    ],
};

/// The names that rules can refer to.
pub(crate) struct Known<'a> {
    pub models: &'a [Model],
    pub backends: &'a [Backend],
    pub profiles: &'a [Profile],
}

impl Known<'_> {
    /// The names of the models.
    pub(crate) fn model_names(&self) -> Vec<&str> {
        self.models
            .iter()
            .map(|model| model.name.as_str())
            .collect()
    }

    /// The names of the profiles.
    pub(crate) fn profile_names(&self) -> Vec<&str> {
        let profiles = self.profiles.iter();
        profiles.map(|profile| profile.name.as_str()).collect()
    }

    /// The tags of all backends, sorted, each once.
    fn tags(&self) -> Vec<&str> {
        let tags = self.backends.iter().flat_map(|backend| &backend.tags);
        let mut tags: Vec<&str> = tags.map(String::as_str).collect();
        sort::sort(&mut tags);
        tags.dedup();
        tags
    }
}

#[inline(never)]
pub(crate) fn compile_then(
    node: &Node,
    path: &str,
    known: &Known<'_>,
    problems: &mut Problems<'_>,
) -> Then {
    if node.members().is_empty() {
        problems.add(
            node.at,
            path,
            "has no effect: state at least one consequence",
        );
    }
    let (models, profiles, tags) = (known.model_names(), known.profile_names(), known.tags());
    check_names(node, "models", "model", path, &models, problems);
    check_names(node, "tags", "tag", path, &tags, problems);
    let profile = node.text_of("profile");
    if let Some(name) = profile.filter(|name| !name.is_empty() && !profiles.contains(name)) {
        let at = node.get("profile").map_or(node.at, |value| value.at);
        let message = unknown("profile", name, &profiles);
        problems.add(at, format!("{path}.profile"), message);
    }
    let named = |node: &Node| {
        node.texts_of("models")
            .filter_map(|name| known.models.iter().position(|model| model.name == name))
            .map(|index| ModelId(index as u32))
            .collect()
    };
    let prefer = node.get("prefer");
    if let Some(prefer) = prefer {
        let path = join(path, "prefer");
        if prefer.members().is_empty() {
            problems.add(
                prefer.at,
                path.as_str(),
                "has no effect: state `models`, `tags` or both",
            );
        }
        check_names(prefer, "models", "model", &path, &models, problems);
        check_names(prefer, "tags", "tag", &path, &tags, problems);
    }
    Then {
        models: named(node),
        tags: node.texts_of("tags").map(str::to_owned).collect(),
        prefer: prefer.map(|prefer| Preference {
            models: named(prefer),
            tags: prefer.texts_of("tags").map(str::to_owned).collect(),
        }),
        min_quality: node.number_of("min_quality").map(|number| number as f32),
        profile: profile.map(str::to_owned),
        reject: node.text_of("reject").map(str::to_owned),
    }
}
