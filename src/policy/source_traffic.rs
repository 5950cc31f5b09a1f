//! The tables of what concerns all traffic: tenants, steering, shadow mode, exploration, stickiness, shares and budgets.
//! Beside `source`, which puts them into the whole.

use super::source::{AT_LEAST_ZERO, FRACTION};
use crate::schema::shape::{Field, Kind, Shape, optional, required};

/// The names of [`super::envelope::Steer`].
pub(super) const STEERS: &[&str] = &[
    "min_quality",
    "max_cost_usd",
    "max_latency_ms",
    "allow_models",
];

/// Windows of budgets, and their seconds.
pub(super) const WINDOWS: &[(&str, u64)] = &[
    ("minute", 60),
    ("hour", 3600),
    ("day", 86_400),
    ("week", 604_800),
    ("month", 2_592_000),
];
const WINDOW_NAMES: &[&str] = &["minute", "hour", "day", "week", "month"];

const ON_OFF: &[&str] = &["on", "off"];

pub(super) const TENANT_FIELD: Field = optional(
    "tenant",
    Kind::Object(&TENANT),
    "nobody has a tenant",
    "Where it stands for whom a request is.",
);

pub(super) const STEERING_FIELD: Field = optional(
    "steering",
    Kind::Object(&STEERING),
    "clients steer by `model` alone",
    "Which request headers clients may steer with.",
);

pub(super) const MODE_FIELD: Field = optional(
    "mode",
    Kind::Choice(&["enforce", "shadow"]),
    "`enforce`",
    "`shadow` decides and reports (headers, metrics, access logs) but does not act: requests go to the default cluster untouched. A request that names a model is then decided as if it had named the default profile, so that what would change is seen.",
).formerly_with(&[("act", "enforce")]);

pub(super) const EXPLORE_FIELD: Field = optional(
    "exploration_rate",
    FRACTION,
    "`0`",
    "The share of conversations, drawn by a stable hash, that go to another candidate which keeps every limit, so that something is learned of it.",
).formerly(&["explore"]);

pub(super) const STICKINESS_FIELD: Field = optional(
    "stickiness",
    Kind::Number {
        min: 0.0,
        max: 10.0,
    },
    "`0`",
    "How much better another backend must be for a conversation to leave the one that answers it, in units of the objective: 0.1 with the weight of cost at 1 is a quarter of the cost. Whatever the number, what the conversation's backend has in its prompt cache is counted at `cached_input`.",
);

pub(super) const FOREIGN_STATE_FIELD: Field = optional(
    "foreign_state",
    Kind::Choice(&["keep", "drop"]),
    "`keep`",
    "What happens to a conversation that carries state which only its maker can read (signed thinking, encrypted reasoning, thought signatures): `keep` leaves it to the backends of the maker's `state_scope`; `drop` lets others have it too, without that state, where the API can do without.",
);

pub(super) const BUDGETS_FIELD: Field = optional(
    "budgets",
    Kind::List {
        of: &Kind::Object(&BUDGET),
        min: 0,
    },
    "nothing is limited",
    "How much may be spent in a window of time.",
);

pub(super) const ROUTE_ENDPOINT_FIELD: Field = optional(
    "route_endpoint",
    Kind::Choice(ON_OFF),
    "`off`",
    "Whether `POST /v1/route` is answered: every candidate with prices and reasons, to any client that reaches the listener.",
);

pub(super) const MODELS_ENDPOINT_FIELD: Field = optional(
    "models_endpoint",
    Kind::Choice(ON_OFF),
    "`on`",
    "Whether `GET /v1/models` is answered: the names of models and profiles.",
);

pub(super) const UNSEEN_MODEL_FIELD: Field = optional(
    "on_missing_model",
    Kind::Choice(&["bypass", "decide"]),
    "`bypass`",
    "What happens to a body whose `model` was not seen, because it is longer than `max_scan_bytes`: `bypass` sends it to the default cluster, `decide` chooses by the default profile. Its `model` is then not rewritten, so every backend must take any name.",
).formerly(&["on_unseen_model"]);

pub(super) const UNDECIDED_FIELD: Field = optional(
    "on_undecided",
    Kind::Choice(&["bypass", "reject"]),
    "`reject` where a rule refuses requests or bounds their models or tags, or a budget is stated; else `bypass`, but for bodies that may name a profile",
    "What happens to a request of an LLM API that cannot be decided on (a body that is compressed or cannot be read, a path or method that is nearly right, a fault of ours): `bypass` sends it to the default cluster untouched, `reject` answers with an error in the words of the API. A body that names a profile is refused even so. `mode: shadow` always passes it on. `pointsman check` says what holds.",
).formerly(&["undecided", "on_invalid_request"]);

pub(super) const UNKNOWN_MODEL_FIELD: Field = optional(
    "on_unknown_model",
    Kind::Choice(&["reject", "bypass", "default_profile"]),
    "`reject`",
    "What happens to a request for a model that is no name, alias or usual spelling of one in the policy: `reject` answers 404 with the nearest names, `bypass` sends it to the default cluster untouched unless a rule or a budget limits it, `default_profile` decides as if it had asked for the default profile.",
);

pub(super) const ALIASES_FIELD: Field = optional(
    "aliases",
    Kind::List {
        of: &Kind::Text,
        min: 0,
    },
    "none",
    "Other names by which clients ask for it. The names that its backends serve need none, nor do another case, a vendor before the name or a date behind it (`openai/gpt-4o-2024-08-06`), as long as one model alone is meant.",
);

pub(super) const MAX_SHARE_FIELD: Field = optional(
    "max_share",
    FRACTION,
    "`1`",
    "The most of the decisions that may choose this model while another can take the request; of the last thousand or so of each worker, and so of all workers together. Clients that name it always get it.",
);

pub(super) const MIN_SHARE_FIELD: Field = optional(
    "min_share",
    FRACTION,
    "`0`",
    "The least of the decisions that shall choose this model where it keeps every limit; counted as `max_share` is. It gets conversations that begin, none that is under way.",
);

/// `tenant` of the policy.
pub const TENANT: Shape = Shape {
    name: "tenant",
    doc: "It must be a header that Envoy itself sets or has checked, such as one of `claim_to_headers` or `forward_payload_header` of its JWT filter: what a client can write, it can forge.",
    fields: &[
        required("header", Kind::Text, "The request header, in lower case."),
        optional(
            "claim",
            Kind::Text,
            "the header's value is the tenant",
            "The claim that is the tenant, where the header is a JWT's payload (base64url of JSON): its name, or a path such as `org.id`.",
        ),
        optional(
            "shown",
            Kind::Choice(&["named", "all"]),
            "`named`",
            "Which tenants access logs and spans show as they are: those that a rule or a budget names, or `all`. The others are shown as `hash:` and a hash, by which they can be counted but not read.",
        ),
    ],
};

/// `steering` of the policy.
pub const STEERING: Shape = Shape {
    name: "steering",
    doc: "Request headers are `x-pointsman-` and the name with `-` for `_`. The tighter of the client's limit and the profile's counts; limits give way as those of the profile do. They never reach a backend.",
    fields: &[
        required(
            "allow",
            Kind::List {
                of: &Kind::Choice(STEERS),
                min: 1,
            },
            "What clients may state: a least probability of a correct answer, a most expected cost in USD, a most expected median time to the whole answer in milliseconds, the models that may answer (names joined by commas).",
        ),
        optional(
            "on_invalid",
            Kind::Choice(&["ignore", "reject"]),
            "`ignore`",
            "What happens to a value that makes no sense: `ignore` leaves it out and says so in `x-pointsman-steering`, `reject` answers 400.",
        ),
    ],
};

/// One of `budgets`.
pub const BUDGET: Shape = Shape {
    name: "budget",
    doc: "Counted by what requests cost. A request holds what it is expected to cost, at most `max_request_share`, from its decision to its end, however it ends; then what it did cost takes the place of that: by the usage that the answer states, else by an estimate of what was sent and delivered; what is answered with an error costs nothing. A worker knows its own spending at once and that of the others within two ticks (two seconds), so that of N workers at most what N - 1 of them spend in two seconds goes over it, and what the requests under way cost beyond what they hold. What a worker that fails had held is free again after ten seconds. Lost when Envoy restarts.",
    fields: &[
        required(
            "name",
            Kind::Text,
            "Its name, with `budget:` before it, among the rules in headers and metrics once it is spent.",
        ),
        required(
            "usd",
            AT_LEAST_ZERO,
            "What may be spent in one window, in USD.",
        ),
        required(
            "per",
            Kind::Choice(WINDOW_NAMES),
            "The window. All begin at multiples of their length since 1970, in UTC; a month has 30 days.",
        ),
        optional(
            "tenant",
            Kind::List {
                of: &Kind::Text,
                min: 1,
            },
            "every tenant, and who has none",
            "Whom it limits: each tenant has the whole sum for itself. A `*` at the end stands for anything: `[\"*\"]` is every tenant, and requests without one are not limited.",
        ),
        optional(
            "max_request_share",
            FRACTION,
            "`0.1`",
            "How much of the sum one request may hold while it is under way. The less it is, the more requests run at once when they are expected to cost much, and the more they can go over the sum together.",
        ),
        optional(
            "profile",
            Kind::Text,
            "the request is refused with 429 `insufficient_quota`",
            "The profile that is used instead once it is spent; requests that name a model go on as they are.",
        ),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::envelope::Steer;

    #[test]
    fn the_names_are_those_of_the_types() {
        assert_eq!(STEERS, Steer::ALL.map(Steer::name));
        let windows: Vec<&str> = WINDOWS.iter().map(|(name, _)| *name).collect();
        assert_eq!(WINDOW_NAMES, windows);
    }
}
