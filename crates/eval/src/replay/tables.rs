//! The tables that the reports for people share.

use super::Report;
use super::changes::Example;
use super::figures::{Figures, Pair, utc};
use super::{Shares, Unknown};
use crate::table::{Side, Table, cut};

/// USD, with as many digits as small sums need.
pub fn usd(value: f64) -> String {
    match value {
        _ if !value.is_finite() => "–".into(),
        _ if value.abs() >= 0.995 || value == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.6}"),
    }
}

/// Milliseconds.
fn ms(value: f64) -> String {
    if value.is_finite() {
        format!("{value:.0}")
    } else {
        "–".into()
    }
}

/// A probability.
fn quality(value: f64) -> String {
    if value.is_finite() {
        format!("{value:.3}")
    } else {
        "–".into()
    }
}

/// A change in percent, with its sign.
pub fn change(share: f64) -> String {
    if share.is_finite() {
        format!("{:+.1} %", 100.0 * share).replace('-', "−")
    } else {
        "–".into()
    }
}

/// A change in points, with its sign.
fn points(difference: f64) -> String {
    if difference.is_finite() {
        format!("{:+.2} points", 100.0 * difference).replace('-', "−")
    } else {
        "–".into()
    }
}

/// A share in percent.
fn percent(part: u64, all: u64) -> String {
    match all {
        0 => "–".into(),
        _ => format!("{:.1} %", 100.0 * part as f64 / all as f64),
    }
}

/// All receipts: one line for each measure.
pub fn total(report: &Report) -> Table {
    let mut head = vec![
        ("", Side::Left),
        ("before", Side::Right),
        ("after", Side::Right),
        ("change", Side::Right),
    ];
    if report.answered.is_some() {
        head.push(("as answered", Side::Right));
    }
    let mut table = Table::new(&head);
    let Pair { before, after, .. } = &report.total;
    let answered = report.answered.as_ref();
    let mut row = |name: &str, change: String, of: &dyn Fn(&Figures) -> String| {
        let mut cells = vec![name.to_owned(), of(before), of(after), change];
        cells.extend(answered.map(of));
        table.push(cells);
    };
    let ratio = |of: &dyn Fn(&Figures) -> f64| change(of(after) / of(before) - 1.0);
    row("cost, USD", change(report.total.cost_change()), &|own| {
        usd(own.cost_usd)
    });
    let difference = after.mean_quality() - before.mean_quality();
    row("expected quality", points(difference), &|own| {
        quality(own.mean_quality())
    });
    for (name, share, first) in [
        ("whole answer, P50 ms", 0.5, false),
        ("whole answer, P99 ms", 0.99, false),
        ("first token, P50 ms", 0.5, true),
        ("first token, P99 ms", 0.99, true),
    ] {
        let of = |own: &Figures| match first {
            true => own.first_token.quantile(share),
            false => own.answer.quantile(share),
        };
        row(name, ratio(&of), &|own| ms(of(own)));
    }
    table
}

/// Groups of receipts, at most `most` of them.
pub fn groups(by: &'static str, groups: &[(String, Pair)], most: usize) -> Table {
    let mut table = Table::new(&[
        (by, Side::Left),
        ("receipts", Side::Right),
        ("changed", Side::Right),
        ("USD before", Side::Right),
        ("after", Side::Right),
        ("change", Side::Right),
        ("quality", Side::Right),
        ("after", Side::Right),
        ("P50 ms", Side::Right),
        ("after", Side::Right),
        ("P99 ms", Side::Right),
        ("after", Side::Right),
    ]);
    for (name, pair) in groups.iter().take(most) {
        let Pair { before, after, .. } = pair;
        table.push(vec![
            cut(name, 40),
            before.count.to_string(),
            percent(pair.changed, before.count),
            usd(before.cost_usd),
            usd(after.cost_usd),
            change(pair.cost_change()),
            quality(before.mean_quality()),
            quality(after.mean_quality()),
            ms(before.answer.quantile(0.5)),
            ms(after.answer.quantile(0.5)),
            ms(before.answer.quantile(0.99)),
            ms(after.answer.quantile(0.99)),
        ]);
    }
    table
}

/// The answers of models or backends.
pub fn shares(by: &'static str, shares: &[(String, Shares)], all: u64) -> Table {
    let mut table = Table::new(&[
        (by, Side::Left),
        ("answers", Side::Right),
        ("after", Side::Right),
        ("share", Side::Right),
        ("after", Side::Right),
        ("USD before", Side::Right),
        ("after", Side::Right),
        ("quality", Side::Right),
        ("after", Side::Right),
        ("all to it: USD", Side::Right),
        ("quality", Side::Right),
        ("cannot take", Side::Right),
    ]);
    for (name, own) in shares {
        let has_alone = own.alone.count > 0;
        table.push(vec![
            cut(name, 40),
            own.before.count.to_string(),
            own.after.count.to_string(),
            percent(own.before.count, all),
            percent(own.after.count, all),
            usd(own.before.cost_usd),
            usd(own.after.cost_usd),
            quality(own.before.mean_quality()),
            quality(own.after.mean_quality()),
            match has_alone {
                true => usd(own.alone.cost_usd),
                false => "–".into(),
            },
            quality(own.alone.mean_quality()),
            match has_alone {
                true => own.cannot.to_string(),
                false => "–".into(),
            },
        ]);
    }
    table
}

/// The kinds of changes, at most `most` of them.
pub fn changes(report: &Report, most: usize) -> Table {
    let mut table = Table::new(&[
        ("from", Side::Left),
        ("to", Side::Left),
        ("why", Side::Left),
        ("receipts", Side::Right),
        ("USD before", Side::Right),
        ("after", Side::Right),
        ("quality", Side::Right),
        ("after", Side::Right),
    ]);
    for (kind, own) in report.changes.kinds().into_iter().take(most) {
        let [good, better] = own.mean_quality();
        table.push(vec![
            cut(&kind.from, 30),
            cut(&kind.to, 30),
            kind.why.to_owned(),
            own.count.to_string(),
            usd(own.cost_usd[0]),
            usd(own.cost_usd[1]),
            quality(good),
            quality(better),
        ]);
    }
    table
}

/// Examples of changes, at most `most` of them.
pub fn examples(report: &Report, most: usize) -> Table {
    let mut table = Table::new(&[
        ("decided", Side::Left),
        ("task", Side::Left),
        ("difficulty", Side::Right),
        ("tokens in, out", Side::Right),
        ("from", Side::Left),
        ("to", Side::Left),
        ("USD", Side::Right),
        ("quality", Side::Right),
        ("why", Side::Left),
    ]);
    let both = |values: [Option<f64>; 2], text: &dyn Fn(f64) -> String| {
        let [before, after] = values.map(|value| value.map_or("–".to_owned(), text));
        format!("{before} → {after}")
    };
    for (kind, example) in report.changes.examples().into_iter().take(most) {
        let Example {
            quality: p,
            cost_usd,
            ..
        } = example;
        table.push(vec![
            utc(example.time_s),
            example.task.name().to_owned(),
            format!("{:.2}", example.difficulty),
            format!("{}, {:.0}", example.input_tokens, example.output_tokens),
            cut(&kind.from, 30),
            cut(&kind.to, 30),
            both(*cost_usd, &|value| format!("{value:.6}")),
            both(*p, &quality),
            example.why.clone(),
        ]);
    }
    table
}

/// A line for each thing that receipts do not tell.
pub fn unknown(report: &Report) -> impl Iterator<Item = String> + '_ {
    report.unknown.iter().map(|unknown| {
        let Unknown {
            policy,
            receipts,
            meaning,
            ..
        } = unknown;
        format!("{receipts} under the {policy} policy: {meaning}")
    })
}

/// What was read and compared, a sentence each.
pub fn notes(report: &Report) -> Vec<String> {
    let counts = &report.counts;
    let mut notes = Vec::new();
    let old = report.old.as_ref();
    if let Some(old) = old {
        let own = report.policies.iter();
        let decided: u64 = own
            .filter(|(policy, _)| *policy == old.fingerprint)
            .map(|(_, count)| count)
            .sum();
        let others = counts.replayed - decided;
        if others > 0 {
            notes.push(format!(
                "{others} receipts were not decided by the old policy ({:08x}), but by {}: they are compared with what it would have decided",
                old.fingerprint,
                policies(report, old.fingerprint)
            ));
        }
    }
    notes.extend(agreement(report));
    for (count, text) in [
        (
            counts.not_answered,
            "receipts are of requests that the new policy refuses or passes by: they are in no figure",
        ),
        (
            counts.not_answered_before,
            "receipts are of requests that the old policy refuses or passes by: they are in no figure",
        ),
        (
            counts.unknown_backend,
            "receipts are of backends that the policy lacks which gives their prices: they are in no figure",
        ),
        (
            counts.other_classifier,
            "receipts are of another version of the classifier: they are left out",
        ),
        (counts.repeated, "receipts came again: each counts once"),
        (counts.lines.unreadable, "lines or receipts cannot be read"),
        (counts.lines.without, "lines have no receipt"),
    ] {
        if count > 0 {
            notes.push(format!("{count} {text}"));
        }
    }
    notes
}

/// How far the policies at hand decide again as they did; `None` if none of the receipts is theirs.
fn agreement(report: &Report) -> Option<String> {
    let own = &report.agreement;
    if own.count == 0 {
        return None;
    }
    let whose = match report.old {
        Some(_) => "of these policies",
        None => "of the new policy itself",
    };
    let mut text = format!(
        "of {} receipts {whose} {} are decided again as they were ({})",
        own.count,
        own.same,
        percent(own.same, own.count)
    );
    let others = own.count - own.same;
    let rest = others - own.explored - own.fell_back - own.went_on;
    if others > 0 {
        text += &format!(
            "; of the others {} explored, {} went to a fallback, {} went on with a conversation, and {rest} differ by what receipts do not tell, or round",
            own.explored, own.fell_back, own.went_on
        );
    }
    Some(text)
}

/// The policies that decided, but for one.
fn policies(report: &Report, but: u32) -> String {
    let mut others: Vec<_> = report
        .policies
        .iter()
        .filter(|(policy, _)| *policy != but)
        .collect();
    others.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let named = others.iter().take(4);
    let mut named: Vec<String> = named
        .map(|(policy, count)| {
            let whose = match *policy == report.new.fingerprint {
                true => ", the new policy",
                false => "",
            };
            format!("{policy:08x} ({count}{whose})")
        })
        .collect();
    if others.len() > named.len() {
        named.push("others".into());
    }
    named.join(", ")
}

/// The heading of a report: how many receipts, of when, by what.
pub fn heading(report: &Report) -> String {
    let counts = &report.counts;
    let mut text = format!("{} receipts", counts.replayed);
    if let Some((first, last)) = report.times {
        text += &format!(" of {} to {} UTC", utc(first), utc(last));
    }
    text += &format!(", replayed under policy {:08x}", report.new.fingerprint);
    text += &match &report.old {
        Some(old) => format!(
            "; before: what policy {:08x} decides on them",
            old.fingerprint
        ),
        None => "; before: the backends that answered, at the same policy's prices".to_owned(),
    };
    text
}
