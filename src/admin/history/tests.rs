use std::sync::LazyLock;

use super::*;
use crate::clock;
use crate::entry::Priority;
use crate::http_cache::Reason;
use crate::metrics::Metrics;

static START: LazyLock<Instant> = LazyLock::new(clock::monotonic);

fn read(metrics: &Metrics, at: u64) -> Reading {
    let moment = *START + Duration::from_secs(at);
    Reading::take(&metrics.registry.gather(), moment, at)
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
    (0..3).for_each(|_| board.answered(Reason::BadRequest, Duration::ZERO));
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
        (104, 99, 98)
    );
    assert_eq!((step.counts.failures, step.counts.malformed), (1, 3));
    assert_eq!((step.counts.redis_evictions, step.seconds), (7, 10.0));
    assert_eq!((step.memory_mb, step.redis_mb), (0.0, 1.5));
    let hit = step.hit_p50_ms.expect("there were hits");
    assert!(hit > 0.025 && hit < 0.05, "{hit}");
    let app = step.app_p99_ms.expect("the app was asked");
    assert!(app > 500.0 && app < 1000.0, "{app}");

    let idle = history.note(read(&metrics, 120)).expect("a step");
    assert_eq!((idle.counts.requests, idle.hit_p99_ms), (0, None));
    let sums = history.sum_of_last(Duration::from_secs(3600));
    assert_eq!((sums.requests, sums.redis_evictions), (104, 7));
    assert_eq!(
        history.sum_of_last(Duration::from_secs(10)),
        Counts::default()
    );
}

/// The looks are two seconds apart, and some are late.
#[test]
fn steps_are_ten_seconds_on_average_and_each_is_as_long_as_it_was() {
    let second = |second| *START + Duration::from_secs_f64(second);
    let mut due = second(0.0);
    let mut ended = Vec::new();
    let late = (0..1800).map(|look| f64::from(look) * 2.0 + f64::from(look % 7) * 0.02);
    for now in late {
        if second(now) >= due {
            due = next_due(due, second(now));
            ended.push(now);
        }
    }
    assert_eq!(ended.len(), 360, "an hour of them");
    assert!(ended.iter().all(|at| at % 10.0 < 2.2), "{ended:?}");
    // Nobody looked for a while: what was missed is not made up for.
    assert_eq!(next_due(second(10.0), second(99.0)), second(109.0));

    let (metrics, history) = (Metrics::new(), History::default());
    let board = metrics.rule("board", Priority::Medium);
    history.note(read(&metrics, 0));
    for at in [12, 20, 32] {
        (0..24).for_each(|_| board.answered(Reason::Hit, Duration::ZERO));
        history.note(read(&metrics, at));
    }
    let lengths: Vec<f64> = history.show().steps.iter().map(|s| s.seconds).collect();
    assert_eq!(lengths, [12.0, 8.0, 12.0]);
    assert_eq!(history.last_rate(), 2.0);
    for (seconds, requests) in [(5, 0), (6, 24), (20, 48), (32, 72), (3600, 72)] {
        let sum = history.sum_of_last(Duration::from_secs(seconds));
        assert_eq!(sum.requests, requests, "{seconds}");
    }
}

#[test]
fn rules_that_are_no_more_leave_their_places() {
    let (metrics, history) = (Metrics::new(), History::default());
    for name in ["old", "new", "idle"] {
        let rule = metrics.rule(name, Priority::Low);
        if name != "idle" {
            rule.answered(Reason::Miss, Duration::ZERO);
        }
    }
    let note = |at, gone: &str| {
        let reading = read(&metrics, at).of_rules(|name| name != gone);
        history.note(reading);
        history.show().rules.keys().cloned().collect::<Vec<_>>()
    };
    (0..6).for_each(|step| drop(note(10 * step, "nothing")));
    assert_eq!(note(60, "nothing"), ["new", "old"]);
    (7..12).for_each(|step| drop(note(10 * step, "old")));
    assert_eq!(note(120, "old"), ["new"]);
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
    // As the head of this room says.
    assert!(STEPS * size_of::<Step>() < 60_000);
    assert!(MINUTES * size_of::<[u32; 2]>() < 500);
    let bytes = serde_json::to_vec(&shown).expect("it is JSON").len();
    assert!(bytes < 250_000, "{bytes}");
}
