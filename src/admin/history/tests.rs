use super::*;
use crate::entry::Priority;
use crate::http_cache::Reason;
use crate::metrics::Metrics;

fn read(metrics: &Metrics, at: u64) -> Reading {
    Reading::take(&metrics.registry.gather(), at)
}

#[test]
fn a_step_is_what_happened_since_the_last_one() {
    let (metrics, history) = (Metrics::new(), History::default());
    let board = metrics.rule("board", Priority::Medium);
    for _ in 0..5 {
        board.answered(Reason::Hit, Duration::from_micros(40));
    }
    assert_eq!(history.note(read(&metrics, 100)), None, "nothing before it");

    for _ in 0..98 {
        board.answered(Reason::Hit, Duration::from_micros(40));
    }
    board.answered(Reason::Miss, Duration::from_millis(700));
    board.answered(Reason::Method, Duration::from_millis(700));
    board.answered(Reason::UpstreamError, Duration::from_millis(3));
    metrics
        .evictions
        .with_label_values(&["redis", "low"])
        .inc_by(7);
    metrics
        .store_bytes
        .with_label_values(&["redis", "low"])
        .set(1_500_000);
    let step = history.note(read(&metrics, 110)).expect("a step");
    assert_eq!(
        (step.counts.requests, step.counts.lookups, step.counts.hits),
        (101, 99, 98)
    );
    assert_eq!((step.counts.failures, step.counts.redis_evictions), (1, 7));
    assert_eq!((step.memory_mb, step.redis_mb), (0.0, 1.5));
    let hit = step.hit_p50_ms.expect("there were hits");
    assert!(hit > 0.025 && hit < 0.05, "{hit}");
    let app = step.app_p99_ms.expect("the app was asked");
    assert!(app > 500.0 && app < 1000.0, "{app}");

    let idle = history.note(read(&metrics, 120)).expect("a step");
    assert_eq!((idle.counts.requests, idle.hit_p99_ms), (0, None));
    let sums = history.sum_of_last(Duration::from_secs(3600));
    assert_eq!((sums.requests, sums.redis_evictions), (101, 7));
    assert_eq!(
        history.sum_of_last(Duration::from_secs(10)),
        Counts::default()
    );
}

#[test]
fn an_hour_is_kept_and_no_more_rules_than_fit() {
    let (metrics, history) = (Metrics::new(), History::default());
    let rules: Vec<_> = (0..MAX_RULES + 20)
        .map(|i| metrics.rule(&format!("rule-{i}"), Priority::Low))
        .collect();
    for step in 0..2 * STEPS as u64 {
        for rule in &rules {
            rule.answered(Reason::Hit, Duration::from_micros(40));
        }
        history.note(read(&metrics, step * 10));
    }
    let shown = history.show();
    assert_eq!(shown.steps.len(), STEPS);
    assert_eq!(
        shown.steps.last().expect("some").at,
        (2 * STEPS as u64 - 1) * 10
    );
    assert_eq!(shown.rules.len(), MAX_RULES);
    for minutes in shown.rules.values() {
        assert_eq!(minutes.len(), MINUTES);
        assert!(minutes.iter().all(|counts| *counts == [6, 6]));
    }
    let bytes = serde_json::to_vec(&shown).expect("it is JSON").len();
    assert!(bytes < 250_000, "{bytes}");
}
