//! Names of backends in Envoy's configuration: the key of a backend in a fallback chain, and a chain's aggregate cluster.

use crate::fnv;

/// How a request gets to another backend when an attempt fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Failover {
    /// Not at all, except for retries within the cluster.
    #[default]
    Off,
    /// Envoy has an aggregate cluster for every chain of up to this length, and the request names it.
    Aggregate {
        /// Maximum number of backends in a chain.
        max_chain_length: usize,
    },
    /// Envoy picks the cluster of each attempt by the chain's header; from Envoy 1.39 on.
    PerAttempt,
}

/// Key of a backend in a chain: a hash of its name, so that it does not depend on the policy's order.
pub fn backend_key(backend: &str) -> u32 {
    fnv::hash32(backend.as_bytes())
}

/// A key as the header holds it, with the dot that follows.
pub fn key_text(key: u32) -> String {
    let mut text = String::with_capacity(9);
    push_key(&mut text, key);
    text.push('.');
    text
}

/// Name of the aggregate cluster of these clusters in this order; of a single cluster its own name.
///
/// ```
/// assert_eq!(pointsman::fleet::clusters::aggregate_name(["gpu", "cpu"]), "gpu+cpu");
/// ```
pub fn aggregate_name<'a>(clusters: impl IntoIterator<Item = &'a str>) -> String {
    let mut name = String::new();
    for cluster in clusters {
        if !name.is_empty() {
            name.push('+');
        }
        name.push_str(cluster);
    }
    name
}

/// Maximum chain length such that every chain has an aggregate cluster and there are at most `most` of these.
pub fn max_chain_length(backends: usize, most: usize) -> usize {
    let (mut length, mut chains, mut total) = (1, backends, 0_usize);
    while length < backends {
        chains = chains.saturating_mul(backends - length);
        total = total.saturating_add(chains);
        if total > most {
            break;
        }
        length += 1;
    }
    length
}

/// Every chain of two to `max_chain_length` of these clusters: there is an aggregate cluster for each.
pub fn aggregates<'a>(clusters: &[&'a str], max_chain_length: usize) -> Vec<Vec<&'a str>> {
    let mut all = Vec::new();
    let mut last: Vec<Vec<&str>> = clusters.iter().map(|cluster| vec![*cluster]).collect();
    for _ in 1..max_chain_length {
        let mut next = Vec::new();
        for chain in &last {
            for cluster in clusters.iter().filter(|cluster| !chain.contains(cluster)) {
                let mut longer = chain.clone();
                longer.push(cluster);
                next.push(longer);
            }
        }
        all.extend(next.iter().cloned());
        last = next;
    }
    all
}

/// The first name that an aggregate shares with a cluster or another aggregate, and that aggregate.
pub fn aggregate_collision<'a>(
    clusters: &[&'a str],
    max_chain_length: usize,
) -> Option<(String, Vec<&'a str>)> {
    // Only a `+` in a cluster's own name can make two names alike.
    if !clusters.iter().any(|cluster| cluster.contains('+')) {
        return None;
    }
    let mut names: Vec<String> = clusters
        .iter()
        .map(|cluster| (*cluster).to_owned())
        .collect();
    aggregates(clusters, max_chain_length)
        .into_iter()
        .find_map(|chain| {
            let name = aggregate_name(chain.iter().copied());
            if names.contains(&name) {
                return Some((name, chain));
            }
            names.push(name);
            None
        })
}

pub(crate) fn push_key(text: &mut String, key: u32) {
    for shift in (0..8).rev() {
        let digit = (key >> (shift * 4)) & 15;
        text.push(char::from_digit(digit, 16).unwrap_or('0'));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn aggregates_are_bounded() {
        assert_eq!(max_chain_length(1, 160), 1);
        assert_eq!(max_chain_length(4, 160), 4);
        assert_eq!(max_chain_length(6, 160), 3);
        assert_eq!(max_chain_length(12, 160), 2);
        assert_eq!(max_chain_length(40, 160), 1);
        assert_eq!(aggregate_name(["a", "b"]), "a+b");
    }
}
