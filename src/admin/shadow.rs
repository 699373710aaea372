//! `GET /shadow`: what comparing the cache with the app has shown of each rule, in shadow and by audits.

use std::collections::BTreeMap;

use crate::live::Live;
use crate::rollout::{Account, Evidence, Read, account};

/// Of each rule that anything is known of, by its name; `-`: of what no rule matches.
pub(super) fn accounts(live: &Live, evidence: &Evidence) -> BTreeMap<String, Account> {
    let routes = &live.config.routes;
    let read = |name: &str| match routes.iter().find(|route| route.name == name) {
        Some(route) => Read::new(name, &route.path, &route.key_text),
        // Of what no rule matches, or of one that another config had.
        None => Read::new(name, "…", "{host}{uri}"),
    };
    evidence
        .rules()
        .map(|(name, evidence)| (name.to_owned(), account(&read(name), evidence)))
        .collect()
}
