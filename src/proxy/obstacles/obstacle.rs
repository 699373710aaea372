//! One thing in the way of a hit, and how it is told.

use serde::{Deserialize, Serialize};

use super::lift::{Edit, Lift};
use crate::http_cache::Reason;

/// One thing in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The word that `Cache-Status`, log and metrics have for it.
    pub reason: Reason,
    /// In words.
    pub what: String,
    /// What lifts it, the most usual first; none: nothing in the config does.
    pub lifts: Vec<Lift>,
}

/// An obstacle as `explain` and the log tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The word.
    pub reason: String,
    /// In words.
    pub what: String,
    /// The lines that would lift it, each by itself.
    pub lifts: Vec<Edit>,
}

impl Obstacle {
    /// With its remedies written out.
    pub fn tell(&self) -> Told {
        Told {
            reason: self.reason.as_str().to_owned(),
            what: self.what.clone(),
            lifts: self.lifts.iter().map(Lift::edit).collect(),
        }
    }
}

/// The fewest lines that lift all that can be lifted: the first remedy of each, those for one key made one.
pub fn edits(obstacles: &[Obstacle]) -> Vec<Edit> {
    let mut merged: Vec<Lift> = Vec::new();
    for lift in obstacles
        .iter()
        .filter_map(|obstacle| obstacle.lifts.first())
    {
        if !merged.iter_mut().any(|other| other.takes_in(lift)) {
            merged.push(lift.clone());
        }
    }
    let mut edits: Vec<Edit> = merged.iter().map(Lift::edit).collect();
    edits.sort_by(|a, b| a.table.cmp(&b.table));
    edits
}
