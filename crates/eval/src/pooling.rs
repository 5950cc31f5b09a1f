//! A table's rows as a pool: cost and quality under each strategy.

use pointsman::policy::Policy;

use crate::figures::Pool;
use crate::sweep::{Strategy, Table, Trace};

/// The pool of a table, and the router's own choices.
pub fn pool(table: &Table<'_>, policy: Option<&Policy>) -> (Pool, Vec<Vec<usize>>) {
    let mut traces = Vec::new();
    let mut own = Vec::new();
    for strategy in Strategy::ALL {
        if matches!(strategy, Strategy::Weights | Strategy::Floor) && policy.is_none() {
            traces.push(Trace::default());
            continue;
        }
        let choices = table.choices(strategy, policy);
        traces.push(trace(table, &choices));
        if strategy == Strategy::Utility {
            own = choices;
        }
    }
    let count = table.rows().count();
    let dearest = table.means.iter().map(|mean| mean[0]).fold(0.0, f64::max) / table.unit();
    let pool = Pool {
        traces,
        cheapest: trace(table, &[vec![table.cheapest; count]]),
        best: trace(table, &[vec![table.best; count]]),
        dearest: vec![dearest; count],
    };
    (pool, own)
}

/// Cost and quality of what `choices[step][row]` chooses.
pub fn trace(table: &Table<'_>, choices: &[Vec<usize>]) -> Trace {
    let outcomes = choices.iter().map(|step| table.outcome(step));
    let (cost, quality) = outcomes.unzip();
    Trace { cost, quality }
}
