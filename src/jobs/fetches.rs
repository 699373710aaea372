//! The fetches under way, and whose each of them is: one that breaks down is known by its task.

use std::collections::HashMap;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use crate::agenda::{Fetch, Fetched};

/// All fetches under way.
#[derive(Default)]
pub(super) struct Fetches {
    tasks: JoinSet<Fetched>,
    known: HashMap<Id, (String, Fetch)>,
}

/// A fetch that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Its run.
    pub(super) run: String,
    pub(super) fetch: Fetch,
    pub(super) fetched: Fetched,
}

impl Fetches {
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Has `errand` carry out a fetch of a run.
    pub(super) fn begin(
        &mut self,
        run: &str,
        fetch: Fetch,
        errand: impl Future<Output = Fetched> + Send + 'static,
    ) -> AbortHandle {
        let task = self.tasks.spawn(errand);
        self.known.insert(task.id(), (run.to_owned(), fetch));
        task
    }

    /// Waits for the end of any; `None`: it was given up, with its run. Never returns while there are none.
    pub(super) async fn next(&mut self) -> Option<Ended> {
        match self.tasks.join_next_with_id().await {
            Some(joined) => self.take(joined),
            None => std::future::pending().await,
        }
    }

    /// All that have ended by now.
    pub(super) fn take_ended(&mut self) -> Vec<Ended> {
        let joined = std::iter::from_fn(|| self.tasks.try_join_next_with_id());
        let joined: Vec<_> = joined.collect();
        let ended = joined.into_iter().filter_map(|joined| self.take(joined));
        ended.collect()
    }

    pub(super) fn give_up(&mut self) {
        self.tasks.abort_all();
    }

    fn take(&mut self, joined: Result<(Id, Fetched), JoinError>) -> Option<Ended> {
        let (id, fetched) = match joined {
            Ok((id, fetched)) => (id, Some(fetched)),
            Err(error) => {
                let broke = error.is_panic();
                let broke = broke.then(|| Fetched::Failed("fetching it broke down".to_owned()));
                (error.id(), broke)
            }
        };
        let (run, fetch) = self.known.remove(&id)?;
        let fetched = fetched?;
        Some(Ended {
            run,
            fetch,
            fetched,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agenda::What;

    fn fetch() -> Fetch {
        Fetch {
            what: What::Page,
            url: "/a".to_owned(),
            fields: std::sync::Arc::default(),
            tries: 0,
            put_off: 0,
        }
    }

    #[tokio::test]
    async fn one_that_breaks_down_has_failed_and_one_given_up_is_gone() {
        let mut fetches = Fetches::default();
        fetches.begin("1", fetch(), async { panic!("a fault") });
        let ended = fetches.next().await.expect("it has failed");
        assert_eq!((ended.run.as_str(), ended.fetch), ("1", fetch()));
        assert!(matches!(ended.fetched, Fetched::Failed(_)));
        fetches.begin("2", fetch(), async { Fetched::Stored });
        let ended = fetches.next().await.expect("it is stored");
        assert_eq!(ended.fetched, Fetched::Stored);
        let task = fetches.begin("3", fetch(), std::future::pending());
        task.abort();
        assert!(fetches.next().await.is_none());
        assert!(fetches.known.is_empty() && fetches.len() == 0);
    }
}
