//! In turn, by weight: which of several replicas is next.
//!
//! Owns the order and nothing else: weights go in, a position comes out. What may be chosen at all is
//! `replicas`' to say. There is no schedule to store and nothing to lock, only a count of turns.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many turns there were.
pub(super) struct Turns(AtomicU64);

impl Turns {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The position that is next. A weight of zero is never next; nothing if there is no other.
    ///
    /// As many turns as all weights together give each position as many as its weight, and those of one
    /// position are spread over them.
    pub(super) fn next(&self, weights: &[u32]) -> Option<usize> {
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        if total == 0 {
            return None;
        }
        let turn = self.0.fetch_add(1, Ordering::Relaxed) % total;
        at_slot(weights, turn * stride(total) % total)
    }

    /// Any position, each as often as its weight says in the long run, and in no order that one could
    /// tell. A weight of zero is never chosen; nothing if there is no other.
    pub(super) fn any(&self, weights: &[u32]) -> Option<usize> {
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let turn = self.0.fetch_add(1, Ordering::Relaxed);
        at_slot(weights, scattered(turn).checked_rem(total)?)
    }
}

fn at_slot(weights: &[u32], mut slot: u64) -> Option<usize> {
    weights.iter().position(|weight| {
        let weight = u64::from(*weight);
        let is_here = slot < weight;
        slot = slot.saturating_sub(weight);
        is_here
    })
}

/// A number that nothing shows the turn it was made of: the finalizer of `SplitMix64`.
fn scattered(turn: u64) -> u64 {
    let mut mixed = turn.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The step from slot to slot. With no divisor in common with the number of slots it comes to each of
/// them once before it comes to any twice; near the golden section it keeps neighbours apart.
fn stride(total: u64) -> u64 {
    let golden = total * 618 / 1000;
    let steps = golden.max(1)..=golden.max(1) + total;
    let mut coprime = steps.filter(|step| divisor(*step, total) == 1);
    coprime.next().unwrap_or(1)
}

/// The greatest common divisor.
fn divisor(one: u64, other: u64) -> u64 {
    if other == 0 {
        one
    } else {
        divisor(other, one % other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(weights: &[u32], turns: usize) -> Vec<usize> {
        let counter = Turns::new();
        let order = (0..turns).filter_map(|_| counter.next(weights));
        order.collect()
    }

    #[test]
    fn equals_take_turns() {
        assert_eq!(order(&[1, 1], 6), [0, 1, 0, 1, 0, 1]);
        let three = order(&[5, 5, 5], 15);
        for at in 0..3 {
            let count = three.iter().filter(|found| **found == at).count();
            assert_eq!(count, 5, "{three:?}");
        }
    }

    #[test]
    fn every_weight_is_kept_to_the_call() {
        for weights in [
            &[3, 1][..],
            &[1, 1000],
            &[2, 4, 6],
            &[7, 0, 3],
            &[1],
            &[1000, 999, 998, 1],
        ] {
            let total = weights.iter().sum::<u32>() as usize;
            let turns = order(weights, 3 * total);
            assert_eq!(turns.len(), 3 * total);
            for (at, weight) in weights.iter().enumerate() {
                let count = turns.iter().filter(|found| **found == at).count();
                assert_eq!(count, 3 * *weight as usize, "{weights:?}");
            }
        }
    }

    #[test]
    fn large_weights_do_not_mean_long_rows() {
        let turns = order(&[50, 50], 100);
        let longest = turns
            .chunk_by(|one, other| one == other)
            .map(<[usize]>::len);
        assert!(longest.max() <= Some(2), "{turns:?}");
    }

    #[test]
    fn at_random_weights_are_kept_in_the_long_run() {
        let turns = Turns::new();
        let found: Vec<usize> = (0..4000).filter_map(|_| turns.any(&[3, 0, 1])).collect();
        let first = found.iter().filter(|at| **at == 0).count();
        assert!((2900..3100).contains(&first), "{first}");
        assert!(!found.contains(&1));
        assert_eq!(turns.any(&[0]), None);
    }

    #[test]
    fn who_may_get_nothing_gets_nothing() {
        assert!(order(&[], 3).is_empty());
        assert!(order(&[0, 0], 3).is_empty());
        assert_eq!(order(&[0, 1], 3), [1, 1, 1]);
    }
}
