//! The report as JSON. Its form is stable: members may be added, none is renamed or taken away. docs/learning.md describes it.

use serde_json::{Map, Value, json};

use super::changes::{ChangeKind, Example};
use super::figures::{Figures, Pair, utc};
use super::{PolicyName, Report, Shares};

/// The version of the form.
const VERSION: u32 = 1;

/// The whole report.
pub fn document(report: &Report) -> Value {
    let counts = &report.counts;
    json!({
        "version": VERSION,
        "before": if report.old.is_some() { "policy" } else { "answers" },
        "policies": {"new": policy(&report.new), "old": report.old.as_ref().map(policy)},
        "lines": {
            "all": counts.lines.all,
            "without_receipt": counts.lines.without,
            "unreadable": counts.lines.unreadable,
        },
        "receipts": receipts(report),
        "agreement": {
            "receipts": report.agreement.count,
            "same": report.agreement.same,
            "explored": report.agreement.explored,
            "fell_back": report.agreement.fell_back,
            "went_on": report.agreement.went_on,
        },
        "total": pair(&report.total),
        "answered": report.answered.as_ref().map(figures),
        "tasks": groups(&report.tasks),
        "tenants": groups(&report.tenants),
        "models": shares(&report.models),
        "backends": shares(&report.backends),
        "timeline": {
            "width_s": report.timeline.width_s,
            "slices": report.timeline.slices.iter().map(|(start, (count, before, after))| {
                json!({"start_s": start, "receipts": count, "cost_usd": {"before": before, "after": after}})
            }).collect::<Vec<_>>(),
        },
        "changes": changes(report),
        "examples": report.changes.examples().into_iter()
            .map(|(kind, own)| example(kind, own)).collect::<Vec<_>>(),
        "unknown": report.unknown.iter().map(|unknown| {
            let rule = unknown.rule.as_ref();
            json!({
                "policy": unknown.policy,
                "cause": unknown.cause,
                "rule": rule.map(|(name, _)| name),
                "conditions": rule.map(|(_, conditions)| conditions),
                "receipts": unknown.receipts,
                "meaning": unknown.meaning,
            })
        }).collect::<Vec<_>>(),
    })
}

/// Counts of receipts.
fn receipts(report: &Report) -> Value {
    let counts = &report.counts;
    let time = |time_s: u32| json!({"s": time_s, "utc": utc(time_s)});
    let (first, last) = report.times.unzip();
    json!({
        "replayed": counts.replayed,
        "compared": counts.compared,
        "changed": report.changed,
        "repeated": counts.repeated,
        "other_classifier": counts.other_classifier,
        "not_answered": counts.not_answered,
        "not_answered_before": counts.not_answered_before,
        "unknown_backend": counts.unknown_backend,
        "first": first.map(time),
        "last": last.map(time),
        "decided_by": report.policies.iter().map(|(policy, count)| {
            json!({"policy": format!("{policy:08x}"), "receipts": count})
        }).collect::<Vec<_>>(),
    })
}

fn policy(policy: &PolicyName) -> Value {
    json!({"fingerprint": format!("{:08x}", policy.fingerprint), "version": policy.version})
}

/// A number, or null if it cannot be computed.
fn number(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number)
}

fn figures(own: &Figures) -> Value {
    json!({
        "receipts": own.count,
        "cost_usd": number(own.cost_usd),
        "quality": number(own.mean_quality()),
        "latency_p50_ms": number(own.answer.quantile(0.5)),
        "latency_p99_ms": number(own.answer.quantile(0.99)),
        "first_token_p50_ms": number(own.first_token.quantile(0.5)),
        "first_token_p99_ms": number(own.first_token.quantile(0.99)),
    })
}

fn pair(pair: &Pair) -> Value {
    json!({"changed": pair.changed, "before": figures(&pair.before), "after": figures(&pair.after)})
}

fn groups(groups: &[(String, Pair)]) -> Value {
    let named = groups.iter().map(|(name, own)| with_name(name, pair(own)));
    named.collect()
}

fn shares(shares: &[(String, Shares)]) -> Value {
    let named = shares.iter().map(|(name, own)| {
        let value = json!({
            "before": figures(&own.before),
            "after": figures(&own.after),
            "alone": (own.alone.count > 0).then(|| figures(&own.alone)),
            "cannot_take": own.cannot,
        });
        with_name(name, value)
    });
    named.collect()
}

fn with_name(name: &str, value: Value) -> Value {
    let mut members = Map::new();
    members.insert("name".into(), name.into());
    if let Value::Object(own) = value {
        members.extend(own);
    }
    Value::Object(members)
}

fn changes(report: &Report) -> Value {
    let kinds = report.changes.kinds().into_iter();
    kinds
        .map(|(kind, own)| {
            json!({
                "from": kind.from,
                "to": kind.to,
                "why": kind.why,
                "receipts": own.count,
                "cost_usd": both(own.cost_usd.map(Some)),
                "quality": both(own.mean_quality().map(Some)),
            })
        })
        .collect()
}

fn both([before, after]: [Option<f64>; 2]) -> Value {
    let of = |value: Option<f64>| value.map_or(Value::Null, number);
    json!({"before": of(before), "after": of(after)})
}

fn example(kind: &ChangeKind, own: &Example) -> Value {
    json!({
        "receipt": format!("{:016x}", own.nonce),
        "time_s": own.time_s,
        "tenant": own.tenant,
        "task": own.task.name(),
        "difficulty": number(f64::from(own.difficulty)),
        "input_tokens": own.input_tokens,
        "output_tokens": number(f64::from(own.output_tokens)),
        "from": kind.from,
        "to": kind.to,
        "why": kind.why,
        "because": own.why,
        "cost_usd": both(own.cost_usd),
        "quality": both(own.quality),
        "latency_p50_ms": both(own.latency_p50_ms),
    })
}
