//! Whose turn it is: the higher priority first, and nobody waits for ever.

use crate::entry::Priority;

/// How much longer a run of the next lower priority has to have waited to go first: milliseconds.
const STEP: u64 = 10_000;

/// Whose turn it is at `now`: by priority, and by how long each has had none. `runs`: who wants one, with the time of its
/// last turn.
pub fn next_turn<T>(runs: impl Iterator<Item = (T, Priority, u64)>, now: u64) -> Option<T> {
    let weigh = |priority: Priority, last: u64| {
        let lead = match priority {
            Priority::Low => 0,
            Priority::Medium => STEP,
            Priority::High => 2 * STEP,
        };
        lead + now.saturating_sub(last)
    };
    let weighed = runs.map(|(run, priority, last)| (run, weigh(priority, last)));
    // Of equals the first, which is the older one.
    let best = weighed.reduce(|best, other| if other.1 > best.1 { other } else { best });
    best.map(|(run, _)| run)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns of one millisecond each, to runs that always want another.
    fn turns(priorities: &[Priority], count: u64) -> Vec<usize> {
        let mut last = vec![0; priorities.len()];
        let mut had = vec![0; priorities.len()];
        for now in 0..count {
            let runs = priorities.iter().enumerate();
            let runs = runs.map(|(run, priority)| (run, *priority, last[run]));
            let turn = next_turn(runs, now).expect("somebody wants one");
            last[turn] = now;
            had[turn] += 1;
        }
        had
    }

    #[test]
    fn the_higher_goes_first_and_the_lowest_is_not_starved() {
        use Priority::{High, Low, Medium};
        assert_eq!(turns(&[Low, High], 10_000), [0, 10_000]);
        let had = turns(&[Low, Medium, High], 100_000);
        assert!(had[2] > 99_900 && had[1] >= 8 && had[0] >= 4, "{had:?}");
        let had = turns(&[Medium, Medium], 1000);
        assert!(had[0].abs_diff(had[1]) <= 2, "equals take turns: {had:?}");
        assert_eq!(next_turn(std::iter::empty::<(u8, _, _)>(), 0), None);
    }
}
