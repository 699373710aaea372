//! Who leaves so that N bytes fit: low priority before medium before high, and never one above the
//! newcomer's own (promise I5). The memory tier evicts by it; the Redis tier does the same in a script, where the account
//! is (`store/redis/scripts/evict.lua`).

use crate::entry::Priority;

/// How many bytes of each priority to free so that `need` more fit, where `held` are in use; `None`
/// if what the newcomer may evict is not enough, and then nothing is to be evicted.
///
/// A priority is touched only when all of those below it go. Arrays are by [`Priority::ALL`].
pub fn plan(need: u64, held: [u64; 3], incoming: Priority) -> Option<[u64; 3]> {
    let mut free = [0; 3];
    let mut left = need;
    for priority in Priority::ALL
        .into_iter()
        .filter(|priority| *priority <= incoming)
    {
        let index = priority.index();
        free[index] = left.min(held[index]);
        left -= free[index];
    }
    (left == 0).then_some(free)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lower_priorities_leave_first_and_higher_ones_never() {
        use Priority::{High, Low, Medium};
        let held = [10, 20, 30];
        let rows = [
            ("nothing needed", 0, Low, Some([0, 0, 0])),
            ("part of low", 4, High, Some([4, 0, 0])),
            ("all of low", 10, High, Some([10, 0, 0])),
            ("low, then medium", 11, High, Some([10, 1, 0])),
            ("all three", 60, High, Some([10, 20, 30])),
            ("more than there is", 61, High, None),
            ("low takes from low", 10, Low, Some([10, 0, 0])),
            ("low never takes medium", 11, Low, None),
            ("medium takes up to medium", 30, Medium, Some([10, 20, 0])),
            ("medium never takes high", 31, Medium, None),
        ];
        for (name, need, incoming, expected) in rows {
            assert_eq!(plan(need, held, incoming), expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_plan_frees_just_what_is_needed(
            need: u32,
            held: [u32; 3],
            incoming in prop::sample::select(&Priority::ALL[..]),
        ) {
            let (need, held) = (u64::from(need), held.map(u64::from));
            let evictable: u64 = held[..=incoming.index()].iter().sum();
            match plan(need, held, incoming) {
                None => prop_assert!(evictable < need),
                Some(free) => {
                    prop_assert_eq!(free.iter().sum::<u64>(), need);
                    prop_assert!(free.iter().zip(held).all(|(free, held)| *free <= held));
                    for above in 1..3 {
                        prop_assert!(free[above] == 0 || free[above - 1] == held[above - 1]);
                    }
                }
            }
        }
    }
}
