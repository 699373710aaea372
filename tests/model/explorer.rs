//! Every state that can be reached, breadth first, so that what goes wrong is told by a shortest way to it.

use std::collections::{HashSet, VecDeque};
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A system whose next state depends on the present one and one action alone.
pub(crate) trait Model: Clone + Hash {
    /// What may happen next.
    type Action: Copy + Debug;

    fn actions(&self) -> Vec<Self::Action>;
    fn step(&self, action: Self::Action) -> Self;
    /// What is wrong in this state.
    fn violation(&self) -> Option<String>;
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Exploration {
    pub(crate) states: usize,
    pub(crate) violation: Option<String>,
    /// The actions that lead to the violation.
    pub(crate) trace: Vec<String>,
}

/// Visits all states that `initial` ones lead to, or those up to the first violation.
///
/// States are told apart by 128 bits of two hashes: the states themselves would not fit into memory.
pub(crate) fn explore<M: Model>(initial: Vec<M>) -> Exploration {
    let mut known = HashSet::new();
    let mut steps: Vec<(usize, Option<M::Action>)> = Vec::new();
    let mut waiting = VecDeque::new();
    for state in initial {
        if known.insert(fingerprint(&state)) {
            waiting.push_back((steps.len(), state));
            steps.push((0, None));
        }
    }
    while let Some((number, state)) = waiting.pop_front() {
        if let Some(violation) = state.violation() {
            let trace = trace_to(&steps, number);
            return Exploration {
                states: steps.len(),
                violation: Some(violation),
                trace,
            };
        }
        for action in state.actions() {
            let next = state.step(action);
            if known.insert(fingerprint(&next)) {
                waiting.push_back((steps.len(), next));
                steps.push((number, Some(action)));
            }
        }
    }
    Exploration {
        states: steps.len(),
        violation: None,
        trace: Vec::new(),
    }
}

fn trace_to<A: Debug>(steps: &[(usize, Option<A>)], mut number: usize) -> Vec<String> {
    let mut trace = Vec::new();
    while let (before, Some(action)) = &steps[number] {
        trace.push(format!("{action:?}"));
        number = *before;
    }
    trace.push(format!("begin {number}"));
    trace.reverse();
    trace
}

fn fingerprint(state: &impl Hash) -> (u64, u64) {
    let of = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        state.hash(&mut hasher);
        hasher.finish()
    };
    (of(0), of(1))
}
