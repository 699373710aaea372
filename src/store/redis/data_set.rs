//! Which data Redis holds: a restart, a failover or a flush puts other data in place of those that the
//! sidecar knew, and may bring back what was purged.

use parking_lot::Mutex;

/// Tells one state of a shard's data from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DataSet {
    /// The run of the server.
    pub(super) run: String,
    /// An id stored in the data themselves.
    pub(super) id: String,
}

/// The data set of each shard, as last seen by any runtime of the process.
#[derive(Debug)]
pub(super) struct DataSets(Mutex<Vec<Option<DataSet>>>);

/// How a shard's data set compares with the one seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Same,
    /// The process has seen none before.
    First,
    /// Purges that were made before may be undone.
    Other,
}

impl DataSets {
    pub(super) fn new(shards: usize) -> DataSets {
        DataSets(Mutex::new(vec![None; shards]))
    }

    /// Compares what a beat found in a shard with what was found before, and remembers it.
    pub(super) fn compare(&self, shard: usize, found: DataSet) -> Comparison {
        let before = &mut self.0.lock()[shard];
        let comparison = match before {
            None => Comparison::First,
            Some(before) if *before == found => Comparison::Same,
            Some(_) => Comparison::Other,
        };
        *before = Some(found);
        comparison
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data_set(run: &str, id: &str) -> DataSet {
        DataSet {
            run: run.to_owned(),
            id: id.to_owned(),
        }
    }

    #[test]
    fn each_shard_is_compared_with_what_it_held_before() {
        let known = DataSets::new(2);
        for (case, shard, found, expected) in [
            ("nothing known", 0, data_set("a", "1"), Comparison::First),
            ("as before", 0, data_set("a", "1"), Comparison::Same),
            ("another shard", 1, data_set("a", "1"), Comparison::First),
            ("restarted", 0, data_set("b", "1"), Comparison::Other),
            ("as before", 0, data_set("b", "1"), Comparison::Same),
            ("flushed", 0, data_set("b", "2"), Comparison::Other),
        ] {
            assert_eq!(known.compare(shard, found), expected, "{case}");
        }
    }
}
