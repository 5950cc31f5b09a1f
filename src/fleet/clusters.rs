//! Names that Envoy knows backends by: the key of a backend in a fallback chain, and the aggregate cluster of a chain.

use crate::fnv;

/// How a request gets to another backend when an attempt fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Failover {
    /// Not at all, or as the cluster does by itself.
    #[default]
    Off,
    /// The chain is asked for by name: Envoy has an aggregate cluster for every chain of up to this many links.
    Aggregate {
        /// The most links of a chain.
        links: usize,
    },
    /// Envoy picks the cluster of each attempt by the chain's header: 1.39 or newer.
    PerAttempt,
}

/// What stands for a backend in a chain: a hash of its name, so that it means the same whatever the policy's order.
pub fn link(backend: &str) -> u32 {
    fnv::hash32(backend.bytes())
}

/// `link` as it stands in the header, the dot behind it included.
pub fn written(link: u32) -> String {
    let mut text = String::with_capacity(9);
    push_link(&mut text, link);
    text.push('.');
    text
}

/// The name of the aggregate cluster for these clusters in this order; one alone is itself.
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

/// The most links of a chain for which every chain has an aggregate cluster, without more than `most` of these.
pub fn aggregate_links(backends: usize, most: usize) -> usize {
    let (mut links, mut chains, mut total) = (1, backends, 0_usize);
    while links < backends {
        chains = chains.saturating_mul(backends - links);
        total = total.saturating_add(chains);
        if total > most {
            break;
        }
        links += 1;
    }
    links
}

/// Every chain of two to `links` of these clusters, each in order: there is an aggregate cluster for each.
pub fn aggregates<'a>(clusters: &[&'a str], links: usize) -> Vec<Vec<&'a str>> {
    let mut all = Vec::new();
    let mut last: Vec<Vec<&str>> = clusters.iter().map(|cluster| vec![*cluster]).collect();
    for _ in 1..links {
        let mut next = Vec::new();
        for chain in &last {
            for cluster in clusters.iter().filter(|one| !chain.contains(one)) {
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

/// The first name that two of these clusters and of their aggregates have in common, and the aggregate that has it.
pub fn aggregate_collision<'a>(
    clusters: &[&'a str],
    links: usize,
) -> Option<(String, Vec<&'a str>)> {
    // Only a member's own sign can make one name look like another.
    if !clusters.iter().any(|cluster| cluster.contains('+')) {
        return None;
    }
    let mut names: Vec<String> = clusters.iter().map(|one| (*one).to_owned()).collect();
    aggregates(clusters, links).into_iter().find_map(|chain| {
        let name = aggregate_name(chain.iter().copied());
        if names.contains(&name) {
            return Some((name, chain));
        }
        names.push(name);
        None
    })
}

pub(crate) fn push_link(text: &mut String, link: u32) {
    for shift in (0..8).rev() {
        let digit = (link >> (shift * 4)) & 15;
        text.push(char::from_digit(digit, 16).unwrap_or('0'));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn aggregates_are_bounded() {
        assert_eq!(aggregate_links(1, 160), 1);
        assert_eq!(aggregate_links(4, 160), 4);
        assert_eq!(aggregate_links(6, 160), 3);
        assert_eq!(aggregate_links(12, 160), 2);
        assert_eq!(aggregate_links(40, 160), 1);
        assert_eq!(aggregate_name(["a", "b"]), "a+b");
    }
}
