//! The tables that both reports for people share: rows of text, from a report.

use crate::figures::Curves;
use crate::file::{Groups, Report};
use crate::format::{percent, plain, shown, shown_percent};
use crate::gaps::classes;
use crate::judge::{JudgeFigures, Spread};
use crate::sweep::Strategy;
use crate::table::{Side, Table};

/// Savings and quality of each strategy.
pub fn strategies(curves: &Curves) -> Table {
    let mut table = Table::new(&[
        ("cost and quality", Side::Left),
        ("saved at −1.2 points", Side::Right),
        ("saved at 95 %", Side::Right),
        ("AIQ", Side::Right),
    ]);
    let names = [
        (Strategy::Utility, "router by utility: P − λ · cost"),
        (Strategy::Weights, "router by the filter's weights"),
        (Strategy::Floor, "router by a floor of quality"),
        (Strategy::Zero, "single models (zero router)"),
        (Strategy::Oracle, "oracle"),
    ];
    let lines = names
        .into_iter()
        .filter_map(|(strategy, name)| Some((name, curves.of(strategy)?)));
    for (name, figures) in lines.chain([("random, cheapest and best", &curves.random)]) {
        table.push(vec![
            name.into(),
            shown_percent(figures.at_loss),
            shown_percent(figures.at_kept),
            shown(figures.aiq),
        ]);
    }
    table
}

/// Savings of many pairs, by the gap between the two; `None` without pairs.
pub fn gaps(report: &Report) -> Option<Table> {
    let classes = classes(&report.pairs);
    if classes.is_empty() {
        return None;
    }
    let mut table = Table::new(&[
        ("points behind", Side::Left),
        ("pairs", Side::Right),
        ("saved at −1.2 points", Side::Right),
        ("random", Side::Right),
        ("oracle", Side::Right),
    ]);
    for class in classes {
        let [low, high] = class.router_range;
        table.push(vec![
            class.behind.into(),
            class.count.to_string(),
            format!(
                "{} (pairs {} to {})",
                percent(class.router),
                percent(low),
                percent(high)
            ),
            percent(class.random),
            percent(class.oracle),
        ]);
    }
    Some(table)
}

/// The gain of a judge, by the router's knob and by which rows it is asked about.
pub fn judge(figures: &JudgeFigures) -> Table {
    let mut table = Table::new(&[
        ("router", Side::Left),
        ("asked about", Side::Left),
        ("share", Side::Right),
        ("saved at −1.2 points", Side::Right),
        ("gain", Side::Right),
        ("times random", Side::Right),
    ]);
    for knob in &figures.knobs {
        let lines = [
            ("nothing: the classifier alone", knob.nobody, f64::NAN),
            (
                "what is worth most, as the filter",
                knob.valuable,
                knob.times_random(),
            ),
            ("as many at random", knob.random, f64::NAN),
            ("everything", knob.everybody, f64::NAN),
        ];
        for (name, asked, times) in lines {
            table.push(vec![
                knob.strategy.name().into(),
                name.into(),
                percent(asked.share),
                spread(asked.at_loss),
                format!("{:.2}", 100.0 * asked.gain),
                times_random(times),
            ]);
        }
    }
    table
}

fn spread(figure: Spread) -> String {
    match figure.deviation > 0.0 {
        true => format!("{} ± {:.1}", percent(figure.mean), 100.0 * figure.deviation),
        false => percent(figure.mean),
    }
}

fn times_random(times: f64) -> String {
    match times.is_finite() {
        true => format!("{times:.1}"),
        false => String::new(),
    }
}

/// What a judge changes for each profile; `None` without a policy.
pub fn judge_profiles(figures: &JudgeFigures) -> Option<Table> {
    let mut table = Table::new(&[
        ("profile with the judge", Side::Left),
        ("asked", Side::Right),
        ("cost without", Side::Right),
        ("with", Side::Right),
        ("asked all", Side::Right),
        ("quality without", Side::Right),
        ("with", Side::Right),
        ("asked all", Side::Right),
        ("times random", Side::Right),
    ]);
    for line in &figures.profiles {
        let numbers = line.cost.into_iter().chain(line.quality);
        let mut cells = vec![line.name.clone(), percent(line.share)];
        cells.extend(numbers.map(plain));
        cells.push(times_random(line.times_random));
        table.push(cells);
    }
    (!figures.profiles.is_empty()).then_some(table)
}

/// The models; `None` without any.
pub fn models(report: &Report) -> Option<Table> {
    if report.models.is_empty() {
        return None;
    }
    let mut table = Table::new(&[
        ("model", Side::Left),
        ("n", Side::Right),
        ("quality", Side::Right),
        ("expected", Side::Right),
        ("mean cost", Side::Right),
        ("share", Side::Right),
        ("placed by", Side::Left),
    ]);
    for model in &report.models {
        let cost = if model.cost.is_finite() {
            format!("{:.3e}", model.cost)
        } else {
            "–".into()
        };
        table.push(vec![
            model.name.clone(),
            model.count.to_string(),
            plain(model.quality),
            plain(model.expected),
            cost,
            percent(model.share),
            model.placed.clone(),
        ]);
    }
    Some(table)
}

/// The profiles; `None` without any.
pub fn profiles(report: &Report) -> Option<Table> {
    if report.profiles.is_empty() {
        return None;
    }
    let mut table = Table::new(&[
        ("profile", Side::Left),
        ("quality", Side::Right),
        ("saved", Side::Right),
        ("not routed", Side::Right),
        ("most to", Side::Left),
        ("chooses by", Side::Left),
    ]);
    for profile in &report.profiles {
        let most: Vec<String> = profile
            .shares
            .iter()
            .take(3)
            .map(|(name, share)| format!("{name} {:.0} %", 100.0 * share))
            .collect();
        table.push(vec![
            profile.name.clone(),
            plain(profile.quality),
            percent(1.0 - profile.cost),
            percent(profile.refused),
            most.join(", "),
            profile.selection.clone(),
        ]);
    }
    Some(table)
}

/// The `most` most frequent kinds of prompts by one label.
pub fn groups(groups: &Groups, most: usize) -> Table {
    let mut table = Table::new(&[
        (groups.by, Side::Left),
        ("n", Side::Right),
        ("cheapest", Side::Right),
        ("best", Side::Right),
        ("router", Side::Right),
        ("saved", Side::Right),
        ("to best", Side::Right),
    ]);
    for line in groups.lines.iter().take(most) {
        table.push(vec![
            line.name.clone(),
            line.count.to_string(),
            plain(line.cheapest),
            plain(line.best),
            plain(line.router),
            percent(line.saved),
            percent(line.to_best),
        ]);
    }
    table
}
