//! The metrics of jobs.

use prometheus::{HistogramVec, IntCounterVec, IntGauge, Registry};

use super::{register_ages, register_counters, register_gauge};

/// What is counted of jobs.
#[derive(Debug)]
pub struct JobMetrics {
    /// `pannier_jobs_total{kind,result}`: runs that are over; done, failed, cancelled, lost.
    pub runs: IntCounterVec,
    /// `pannier_job_urls_total{kind,result}`: stored, fresh, refused, failed.
    pub urls: IntCounterVec,
    /// `pannier_job_duration_seconds{kind}`: from a run's first fetch to its end.
    pub seconds: HistogramVec,
    /// `pannier_job_wait_seconds{kind}`: until its first fetch.
    pub wait: HistogramVec,
    /// `pannier_jobs_queued`: runs that have not begun.
    pub queued: IntGauge,
    /// `pannier_jobs_running`
    pub running: IntGauge,
}

impl JobMetrics {
    pub(super) fn new(r: &Registry) -> JobMetrics {
        JobMetrics {
            runs: register_counters(
                r,
                "pannier_jobs_total",
                "Runs of jobs that are over on this sidecar, by kind and result.",
                &["kind", "result"],
            ),
            urls: register_counters(
                r,
                "pannier_job_urls_total",
                "URLs that jobs have settled, by kind and result.",
                &["kind", "result"],
            ),
            seconds: register_ages(
                r,
                "pannier_job_duration_seconds",
                "Time from a run's first fetch to its end.",
                &["kind"],
            ),
            wait: register_ages(
                r,
                "pannier_job_wait_seconds",
                "Time that a run waited for its first fetch.",
                &["kind"],
            ),
            queued: register_gauge(r, "pannier_jobs_queued", "Runs of jobs that wait to begin."),
            running: register_gauge(r, "pannier_jobs_running", "Runs of jobs under way."),
        }
    }
}
