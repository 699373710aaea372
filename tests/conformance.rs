//! The RFCs as an examiner reads them: what Pannier does as a shared cache without any route, seen
//! from both sides of the wire. Each subject is one test for each tier; `--no-capture` prints its count.

mod app;
mod case;
mod client;
mod not_yet;
mod runner;
mod subjects;

use std::collections::{BTreeMap, BTreeSet};

use case::Level;
use not_yet::NOT_YET;
use runner::Tier;

macro_rules! tests_of_subjects {
    ($($subject:ident),* $(,)?) => {
        mod memory {
            use super::{Tier, runner, subjects};
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $subject() {
                    runner::run(subjects::$subject::cases(), Tier::Memory).await;
                }
            )*
        }

        mod redis {
            use super::{Tier, runner, subjects};
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $subject() {
                    runner::run(subjects::$subject::cases(), Tier::Redis).await;
                }
            )*
        }

        fn all() -> Vec<case::Case> {
            [$(subjects::$subject::cases()),*].into_iter().flatten().collect()
        }
    };
}

tests_of_subjects!(
    age,
    cache_groups,
    cache_status,
    conditional,
    fields,
    freshness,
    head,
    incomplete,
    interim,
    invalidation,
    methods,
    ranges,
    request_directives,
    response_directives,
    sharing,
    stale,
    statuses,
    targeted,
    validation,
    vary,
);

#[test]
fn every_case_has_a_name_of_its_own_and_exchanges() {
    let mut names = BTreeSet::new();
    let mut sections: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for case in all() {
        assert!(!case.steps.is_empty(), "{}: no exchange", case.name);
        let checks = case.steps.iter().map(|step| step.checks.len());
        assert!(checks.sum::<usize>() > 0, "{}: checks nothing", case.name);
        let document = case.section.split(" §").next().unwrap_or_default();
        let counts = sections.entry(document).or_default();
        counts[usize::from(case.level == Level::Optimal)] += 1;
        assert!(names.insert(case.name.clone()), "{}: twice", case.name);
    }
    for name in NOT_YET {
        assert!(names.contains(*name), "{name}: in NOT_YET, and no case");
    }
    println!("required, optimal by document: {sections:?}");
    println!("{} cases, {} of them not yet", names.len(), NOT_YET.len());
}
