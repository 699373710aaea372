//! `[alerts]`: which thresholds are exceeded now.

use serde::Serialize;

use super::history::Counts;
use crate::config;

/// Fewer requests in an hour say nothing of the hit rate.
const ENOUGH_LOOKUPS: u64 = 100;

/// Whose keys and evictions count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tier {
    /// What leaves memory is still in Redis.
    #[default]
    Redis,
    /// Where there is no Redis.
    Memory,
}

/// What the thresholds are held against.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measured {
    /// Of what may be in Redis; `None` without it.
    pub(super) memory_percent: Option<f64>,
    /// Whether that is less than the budget, since the server's own memory leaves no more.
    pub(super) is_server_full_first: bool,
    /// Keys in Redis, or in memory without it.
    pub(super) keys: u64,
    /// The tier that this and evictions are of.
    pub(super) tier: Tier,
    /// The last hour, or since the start; evictions from Redis are those of all sidecars.
    pub(super) hour: Counts,
}

/// One threshold, and what is held against it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alert {
    /// The key of `[alerts]`.
    pub name: &'static str,
    /// What was measured; null if there is too little to tell.
    pub value: Option<f64>,
    /// As configured.
    pub threshold: u64,
    /// Whether the value is beyond it.
    pub exceeded: bool,
    /// In words, if it is exceeded.
    pub words: Option<String>,
}

/// Every threshold of `alerts`.
pub(super) fn judge(alerts: &config::Alerts, measured: &Measured) -> Vec<Alert> {
    let hour = measured.hour;
    let hit_rate = (hour.lookups >= ENOUGH_LOOKUPS)
        .then(|| (1000.0 * hour.hits as f64 / hour.lookups as f64).round() / 10.0);
    let rows = [
        (
            "memory_percent",
            alerts.memory_percent,
            measured.memory_percent,
            Beyond::Above,
        ),
        (
            "evictions_per_hour",
            alerts.evictions_per_hour,
            Some(match measured.tier {
                Tier::Redis => hour.redis_evictions,
                Tier::Memory => hour.memory_evictions,
            } as f64),
            Beyond::Above,
        ),
        (
            "keys",
            alerts.keys,
            Some(measured.keys as f64),
            Beyond::Above,
        ),
        (
            "hit_rate_percent",
            alerts.hit_rate_percent,
            hit_rate,
            Beyond::Below,
        ),
        (
            "stale_per_hour",
            alerts.stale_per_hour,
            Some(hour.stale_found as f64),
            Beyond::From,
        ),
    ];
    rows.into_iter()
        .filter_map(|(name, threshold, value, beyond)| {
            let threshold = threshold?;
            let exceeded = value.is_some_and(|value| beyond.is_exceeded(value, threshold));
            let words =
                exceeded.then(|| describe(name, value.unwrap_or_default(), threshold, measured));
            Some(Alert {
                name,
                value,
                threshold,
                exceeded,
                words,
            })
        })
        .collect()
}

/// On which side of its threshold a value is not to be.
#[derive(Clone, Copy, Debug)]
enum Beyond {
    Above,
    Below,
    /// The threshold itself is too much.
    From,
}

impl Beyond {
    fn is_exceeded(self, value: f64, threshold: u64) -> bool {
        match self {
            Beyond::Above => value > threshold as f64,
            Beyond::Below => value < threshold as f64,
            Beyond::From => value >= threshold as f64,
        }
    }
}

fn describe(name: &str, value: f64, threshold: u64, measured: &Measured) -> String {
    let about = format!("[alerts] {name} = {threshold}");
    match name {
        "memory_percent" if measured.is_server_full_first => {
            format!("{value} % of what the server of Redis has room for is used ({about})")
        }
        "memory_percent" => format!("{value} % of the budget in Redis is used ({about})"),
        "evictions_per_hour" => {
            let whence = match measured.tier {
                Tier::Redis => "Redis",
                Tier::Memory => "memory",
            };
            format!("{value} entries left {whence} for space in the last hour ({about})")
        }
        "keys" => format!("{value} keys are stored ({about})"),
        "stale_per_hour" => {
            format!(
                "audits found {value} answers in the last hour that were not as the app says ({about})"
            )
        }
        _ => format!("the hit rate of the last hour is {value} % ({about})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> config::Alerts {
        config::Alerts {
            memory_percent: Some(95),
            evictions_per_hour: Some(200),
            keys: Some(1500),
            hit_rate_percent: Some(70),
            stale_per_hour: Some(2),
            webhook: None,
        }
    }

    fn measured(memory: f64, evictions: u64, keys: u64, hits: u64) -> Measured {
        Measured {
            memory_percent: Some(memory),
            is_server_full_first: false,
            keys,
            tier: Tier::Redis,
            hour: Counts {
                requests: 1000,
                lookups: 1000,
                hits,
                redis_evictions: evictions,
                memory_evictions: 1_000_000,
                ..Counts::default()
            },
        }
    }

    #[test]
    fn what_is_beyond_its_threshold_is_exceeded() {
        let rows = [
            ("nothing", measured(95.0, 200, 1500, 700), vec![]),
            (
                "memory",
                measured(95.1, 200, 1500, 700),
                vec!["memory_percent"],
            ),
            (
                "evictions",
                measured(0.0, 201, 0, 700),
                vec!["evictions_per_hour"],
            ),
            ("keys", measured(0.0, 0, 1501, 700), vec!["keys"]),
            (
                "hit rate",
                measured(0.0, 0, 0, 699),
                vec!["hit_rate_percent"],
            ),
            (
                "stale",
                Measured {
                    hour: Counts {
                        stale_found: 2,
                        ..Counts::default()
                    },
                    ..Measured::default()
                },
                vec!["stale_per_hour"],
            ),
        ];
        for (name, measured, expected) in rows {
            let alerts = judge(&all(), &measured);
            let exceeded = alerts.iter().filter(|alert| alert.exceeded);
            let names: Vec<&str> = exceeded.clone().map(|alert| alert.name).collect();
            assert_eq!(names, expected, "{name}");
            assert!(exceeded.clone().all(|alert| alert.words.is_some()));
            assert_eq!(alerts.len(), 5, "{name}");
        }
    }

    #[test]
    fn what_is_nearly_full_is_told() {
        let full = measured(96.0, 0, 0, 1000);
        let of_server = Measured {
            is_server_full_first: true,
            ..full
        };
        for (measured, words) in [
            (full, "96 % of the budget in Redis is used"),
            (
                of_server,
                "96 % of what the server of Redis has room for is used",
            ),
        ] {
            let alerts = judge(&all(), &measured);
            let said = alerts[0].words.as_deref().expect("it is exceeded");
            assert!(said.starts_with(words), "{said}");
        }
    }

    #[test]
    fn too_little_to_tell_is_no_alert_and_what_is_off_is_not_there() {
        let quiet = Measured {
            hour: Counts {
                lookups: ENOUGH_LOOKUPS - 1,
                ..Counts::default()
            },
            ..Measured::default()
        };
        let alerts = judge(&all(), &quiet);
        assert!(alerts.iter().all(|alert| !alert.exceeded), "{alerts:?}");
        assert_eq!(
            judge(&config::Alerts::default(), &measured(100.0, 9999, 9999, 0)),
            []
        );
    }
}
