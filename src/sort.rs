//! Sorting for the module: the standard sorts are copied for each type, four to ten kilobytes apiece, and V8 compiles each copy
//! in every Envoy; and they panic if they notice that an order is none. Here the sorting itself exists once, over positions, and never
//! panics; only insertion and swaps are copied.
//!
//! Equal elements keep their order. Not for long lists in a hot loop: a comparison is an indirect call there.

use std::cmp::Ordering;

/// Up to this length elements are inserted one by one, without an allocation.
const SHORT: usize = 12;

/// Sorts `items` by their own order.
pub fn sort<T: Ord>(items: &mut [T]) {
    sort_by(items, T::cmp);
}

/// Sorts `items` by what `key` gives for each.
pub fn sort_by_key<T, K: Ord>(items: &mut [T], mut key: impl FnMut(&T) -> K) {
    sort_by(items, |left, right| key(left).cmp(&key(right)));
}

/// Sorts `items` by `compare`, which has to be a total order; if it is not, the order of the result is unspecified.
pub fn sort_by<T>(items: &mut [T], mut compare: impl FnMut(&T, &T) -> Ordering) {
    if items.len() <= SHORT {
        return insert(items, &mut compare);
    }
    let order = order(
        items.len(),
        &mut |left, right| match (items.get(left), items.get(right)) {
            (Some(left), Some(right)) => compare(left, right),
            _ => Ordering::Equal,
        },
    );
    rearrange(order, &mut |left, right| items.swap(left, right));
}

fn insert<T>(items: &mut [T], compare: &mut impl FnMut(&T, &T) -> Ordering) {
    for end in 1..items.len() {
        for at in (0..end).rev() {
            let is_in_order = match items.get(at..at + 2) {
                Some([left, right]) => compare(left, right) != Ordering::Greater,
                _ => true,
            };
            if is_in_order {
                break;
            }
            items.swap(at, at + 1);
        }
    }
}

/// The positions `0..count` in the order of the elements there: runs of one, two, four, … merged pairwise.
fn order(count: usize, compare: &mut dyn FnMut(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut merged = Vec::with_capacity(count);
    let mut run = 1;
    while run < count {
        merged.clear();
        for pair in order.chunks(2 * run) {
            let (left, right) = pair.split_at(run.min(pair.len()));
            merge(left, right, compare, &mut merged);
        }
        std::mem::swap(&mut order, &mut merged);
        run *= 2;
    }
    order
}

/// Appends two sorted runs of positions as one; of equal elements those of `left` come first.
fn merge(
    mut left: &[usize],
    mut right: &[usize],
    compare: &mut dyn FnMut(usize, usize) -> Ordering,
    merged: &mut Vec<usize>,
) {
    while let (Some((first, behind_first)), Some((second, behind_second))) =
        (left.split_first(), right.split_first())
    {
        if compare(*first, *second).is_gt() {
            merged.push(*second);
            right = behind_second;
        } else {
            merged.push(*first);
            left = behind_first;
        }
    }
    merged.extend_from_slice(left);
    merged.extend_from_slice(right);
}

/// Swaps elements until the one from position `order[n]` is at position `n`: one cycle of the permutation after the other.
fn rearrange(mut order: Vec<usize>, swap: &mut dyn FnMut(usize, usize)) {
    for start in 0..order.len() {
        let mut at = start;
        while let Some(from) = order.get_mut(at).map(|place| std::mem::replace(place, at))
            && from != start
            && from != at
        {
            swap(at, from);
            at = from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that repeat, in no order, from a multiplicative generator.
    fn numbers(count: usize) -> Vec<(u32, usize)> {
        let mut state = 12_345_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % 50
        };
        (0..count).map(|place| (next(), place)).collect()
    }

    #[test]
    fn every_length_is_sorted_as_the_standard_does_it() {
        for count in [0, 1, 2, 3, SHORT, SHORT + 1, 50, 1_000] {
            let mut sorted = numbers(count);
            let mut expected = sorted.clone();
            sort_by_key(&mut sorted, |(number, _)| *number);
            expected.sort_by_key(|(number, _)| *number);
            assert_eq!(sorted, expected, "{count} elements");
            sort_by(&mut sorted, |left, right| right.cmp(left));
            expected.sort_by(|left, right| right.cmp(left));
            assert_eq!(sorted, expected, "{count} elements, falling");
            sort(&mut sorted);
            assert!(sorted.is_sorted(), "{count} elements");
        }
    }

    #[test]
    fn an_order_that_is_none_loses_nothing() {
        let mut items = numbers(100);
        let mut calls = 0_u32;
        sort_by(&mut items, |_, _| {
            calls += 1;
            if calls.is_multiple_of(3) {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        });
        sort(&mut items);
        let mut expected = numbers(100);
        expected.sort_unstable();
        assert_eq!(items, expected);
    }
}
