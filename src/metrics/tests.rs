use prometheus::TextEncoder;

use super::*;

/// Prometheus takes what a counter is born with for no increase: an alert would miss the first of what it is about.
#[test]
fn what_alerts_ask_for_stands_at_zero_before_it_happens() {
    let metrics = Metrics::new();
    metrics.rule("board", Priority::Medium);
    let metrics = metrics.registry.gather();
    let text = TextEncoder::new().encode_to_string(&metrics);
    let text = text.expect("they can be written");
    for line in [
        "pannier_requests_total{priority=\"medium\",reason=\"hit\",rule=\"board\"} 0",
        "pannier_saved_seconds_total{rule=\"board\"} 0",
        "pannier_audit_total{result=\"same\",rule=\"board\"} 0",
        "pannier_audit_total{result=\"stale\",rule=\"board\"} 0",
        "pannier_audit_total{result=\"uncompared\",rule=\"board\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}
