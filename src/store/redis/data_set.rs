//! Which data Redis holds: a restart, a failover or a flush puts other data in place of those that the
//! sidecar knew, and may bring back what was purged.
//!
//! Data are *void* once another layout was in use beside them (`layouts`). They stay so, for who has seen
//! it, until a sidecar of the own layout has removed them and renewed their id.

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
pub(super) struct DataSets(Mutex<Vec<Option<Seen>>>);

#[derive(Clone, Debug)]
struct Seen {
    data_set: DataSet,
    is_void: bool,
}

/// How a shard's data set compares with the one seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Same,
    /// The process has seen none before.
    First,
    /// Purges that were made before may be undone.
    Other,
    /// They were void, nothing says so any more, and nobody has removed them: an older state has come
    /// back. They have to be marked as void again.
    Unmarked,
}

impl DataSet {
    /// Whether a takeover has made `new` of this.
    fn was_renewed_as(&self, new: &DataSet) -> bool {
        self.run == new.run && self.id != new.id
    }
}

impl DataSets {
    pub(super) fn new(shards: usize) -> DataSets {
        DataSets(Mutex::new(vec![None; shards]))
    }

    /// Compares what a beat found in a shard with what was found before, and remembers it. Of void data
    /// nothing is compared: they are going to be removed.
    pub(super) fn compare(&self, shard: usize, found: DataSet, is_void: bool) -> Comparison {
        let before = &mut self.0.lock()[shard];
        let comparison = match before {
            None => Comparison::First,
            Some(_) if is_void => Comparison::Same,
            Some(before) if before.is_void => match before.data_set.was_renewed_as(&found) {
                true => Comparison::Same,
                false => Comparison::Unmarked,
            },
            Some(before) if before.data_set == found => Comparison::Same,
            Some(_) => Comparison::Other,
        };
        *before = Some(Seen {
            data_set: found,
            is_void: is_void || comparison == Comparison::Unmarked,
        });
        comparison
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Run, id, whether void, and what the comparison says.
    type Found = (&'static str, &'static str, bool, Comparison);

    fn data_set(run: &str, id: &str) -> DataSet {
        DataSet {
            run: run.to_owned(),
            id: id.to_owned(),
        }
    }

    #[test]
    fn each_shard_is_compared_with_what_it_held_before() {
        use Comparison::{First, Other, Same, Unmarked};
        let (fine, void) = (false, true);
        #[rustfmt::skip]
        let rows: [(&str, &[Found]); 7] = [
            ("as before", &[("a", "1", fine, First), ("a", "1", fine, Same)]),
            ("restarted", &[("a", "1", fine, First), ("b", "1", fine, Other), ("b", "1", fine, Same)]),
            ("flushed", &[("a", "1", fine, First), ("a", "2", fine, Other)]),
            ("void, then removed", &[("a", "1", fine, First), ("a", "1", void, Same), ("a", "2", fine, Same)]),
            ("void, restarted and still void", &[("a", "1", void, First), ("b", "1", void, Same), ("b", "2", fine, Same)]),
            ("void, and nothing says so", &[("a", "1", void, First), ("a", "1", fine, Unmarked), ("a", "1", void, Same)]),
            ("void, and an older state is back", &[("a", "1", void, First), ("b", "0", fine, Unmarked), ("b", "0", fine, Unmarked)]),
        ];
        for (case, beats) in rows {
            let known = DataSets::new(2);
            for (run, id, is_void, expected) in beats {
                let found = known.compare(1, data_set(run, id), *is_void);
                assert_eq!(found, *expected, "{case}: {run} {id}");
            }
            assert_eq!(known.compare(0, data_set("a", "1"), fine), First, "{case}");
        }
    }
}
