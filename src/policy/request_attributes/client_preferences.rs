//! Preferences that clients state in request headers: fields, compilation and reading.

use crate::fleet::{ModelId, Registry};
use crate::policy::profiles::limits::{Limit, Limits};
use crate::policy::request_attributes::headers::{RawHeader, find};
use crate::schema::document::Node;
use crate::schema::shape::{Field, Kind, Shape, optional, required};

/// The names of [`ClientPreference`].
pub(crate) const PREFERENCE_NAMES: &[&str] = &[
    "min_quality",
    "max_cost_usd",
    "max_latency_ms",
    "allow_models",
];

pub(crate) const STEERING_FIELD: Field = optional(
    "steering",
    Kind::Object(&STEERING),
    "clients choose by `model` alone",
    "The preferences that clients may state in request headers.",
);

/// `steering` of the policy.
pub const STEERING: Shape = Shape {
    name: "steering",
    doc: "Request headers are `x-pointsman-` and the name with `-` for `_`. The tighter of the client's and the profile's limit counts; both give way alike. These headers never reach a backend.",
    fields: &[
        required(
            "allow",
            Kind::List {
                of: &Kind::Choice(PREFERENCE_NAMES),
                min: 1,
            },
            "The preferences that clients may state: minimum probability of a correct answer, maximum expected cost in USD, maximum expected median time to the whole answer in milliseconds, models that may answer (comma-separated names).",
        ),
        optional(
            "on_invalid",
            Kind::Choice(&["ignore", "reject"]),
            "`ignore`",
            "The treatment of an invalid value: `ignore` drops it and reports that in `x-pointsman-steering`, `reject` answers 400.",
        ),
    ],
};

/// The treatment of an invalid preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnInvalidPreference {
    /// Drops it, and reports that in the response.
    #[default]
    Ignore,
    /// The request is refused with 400.
    Reject,
}

/// A preference that clients can state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientPreference {
    /// A floor of quality.
    MinQuality,
    /// The most that the request may be expected to cost.
    MaxCostUsd,
    /// The most that the expected median time to the whole answer may be.
    MaxLatencyMs,
    /// The models that may answer.
    AllowModels,
}

impl ClientPreference {
    /// All of them.
    pub const ALL: [ClientPreference; 4] = [
        ClientPreference::MinQuality,
        ClientPreference::MaxCostUsd,
        ClientPreference::MaxLatencyMs,
        ClientPreference::AllowModels,
    ];

    /// The name that policies use.
    pub const fn name(self) -> &'static str {
        match self {
            ClientPreference::MinQuality => "min_quality",
            ClientPreference::MaxCostUsd => "max_cost_usd",
            ClientPreference::MaxLatencyMs => "max_latency_ms",
            ClientPreference::AllowModels => "allow_models",
        }
    }

    /// The request header that clients use.
    pub const fn header(self) -> &'static str {
        match self {
            ClientPreference::MinQuality => "x-pointsman-min-quality",
            ClientPreference::MaxCostUsd => "x-pointsman-max-cost-usd",
            ClientPreference::MaxLatencyMs => "x-pointsman-max-latency-ms",
            ClientPreference::AllowModels => "x-pointsman-allow-models",
        }
    }
}

/// The preferences of a client, as far as the policy allows them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClientPreferences {
    /// Limits besides those of the profile: the tighter of two counts.
    pub limits: Limits,
    /// Only these models may answer, if not empty.
    pub models: Vec<ModelId>,
    /// The preferences that are honoured.
    pub honoured: Vec<ClientPreference>,
    /// The preferences with an invalid value.
    pub ignored: Vec<ClientPreference>,
}

/// The preferences that clients may state.
#[inline(never)]
pub(crate) fn compile_preferences(root: &Node) -> Vec<ClientPreference> {
    let steering = root.get("steering");
    let allowed = steering.map_or(&[][..], |node| node.items_of("allow"));
    ClientPreference::ALL
        .into_iter()
        .filter(|known| allowed.iter().any(|item| item.text() == Some(known.name())))
        .collect()
}

impl OnInvalidPreference {
    /// As `steering.on_invalid` states it.
    pub(crate) fn compile(root: &Node) -> OnInvalidPreference {
        let steering = root.get("steering");
        match steering.and_then(|node| node.text_of("on_invalid")) {
            Some("reject") => OnInvalidPreference::Reject,
            _ => OnInvalidPreference::Ignore,
        }
    }
}

impl ClientPreferences {
    /// Reads the preferences `allowed` out of a request's headers.
    pub(crate) fn read(
        allowed: &[ClientPreference],
        headers: &[RawHeader<'_>],
        registry: &Registry,
    ) -> ClientPreferences {
        let mut preferences = ClientPreferences::default();
        for preference in allowed.iter().copied() {
            let Some(value) = find(headers, preference.header()) else {
                continue;
            };
            if apply_preference(preference, value.trim(), registry, &mut preferences) {
                preferences.honoured.push(preference);
            } else {
                preferences.ignored.push(preference);
            }
        }
        preferences
    }
}

/// Adds one preference; `false` if its value is invalid. Of several numbers the tightest counts.
fn apply_preference(
    preference: ClientPreference,
    value: &str,
    registry: &Registry,
    preferences: &mut ClientPreferences,
) -> bool {
    let numbers = value.split(',').map(|part| part.trim().parse::<f64>().ok());
    let numbers: Option<Vec<f64>> = numbers.collect();
    let numbers = numbers.into_iter().flatten();
    let number = match preference {
        ClientPreference::MinQuality => numbers.reduce(f64::max),
        _ => numbers.reduce(f64::min),
    };
    let number = number.filter(|number| number.is_finite() && *number >= 0.0);
    let limit = match preference {
        ClientPreference::MinQuality => number
            .filter(|quality| *quality <= 1.0)
            .map(|n| (Limit::MinQuality, n)),
        ClientPreference::MaxCostUsd => number.map(|n| (Limit::MaxCostUsd, n)),
        ClientPreference::MaxLatencyMs => number.map(|n| (Limit::MaxP50Ms, n)),
        ClientPreference::AllowModels => {
            let names = value
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty());
            preferences.models = names.filter_map(|name| registry.find_model(name)).collect();
            return !preferences.models.is_empty();
        }
    };
    let Some((limit, written)) = limit else {
        return false;
    };
    preferences.limits = preferences.limits.with(limit, written);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_types() {
        assert_eq!(
            PREFERENCE_NAMES,
            ClientPreference::ALL.map(ClientPreference::name)
        );
    }
}
