//! The age and what it is made of (RFC 9111 §4.2.3).

use std::time::{Duration, SystemTime};

use http::header::DATE;

use super::Statement;
use super::words::{between, field, seconds};
use crate::http_cache::{Stored, freshness};

pub(super) fn statements(stored: &Stored, now: SystemTime) -> Vec<Statement> {
    let resident = between(stored.response_time, now);
    let sum = stored.initial_age.saturating_add(resident);
    let total = match stored.age(now) == sum {
        true => format!(
            "{} = {} at arrival + {} stored",
            seconds(sum),
            seconds(stored.initial_age),
            seconds(resident),
        ),
        false => "unknown, and so past any lifetime".to_owned(),
    };
    let mut statements = vec![
        Statement::new("age", total, "RFC 9111 §4.2.3"),
        Statement::new("at arrival", at_arrival(stored), "RFC 9111 §4.2.3"),
    ];
    if stored.response_time > now {
        let text = match stored.age(now) == stored.initial_age {
            true => "the clock is behind the arrival; nothing is younger than when it came",
            false => "the clock was set back, so that nobody knows how old it is",
        };
        statements.push(Statement::new("clock", text, "RFC 9111 §4.2.3"));
    }
    statements
}

/// `Age` itself is not stored, but where it decided, it can be told from the sum.
fn at_arrival(stored: &Stored) -> String {
    let delay = between(stored.request_time, stored.response_time);
    let apparent = freshness::date(&stored.headers)
        .map(|date| between(date, stored.response_time))
        .map_or(Duration::ZERO, |age| Duration::from_secs(age.as_secs()));
    let date = field(&stored.headers, &DATE);
    let initial = seconds(stored.initial_age);
    if stored.initial_age == apparent && !apparent.is_zero() {
        return format!(
            "{initial}, its arrival minus its Date ({date}); its Age and the {} the app took gave no more",
            seconds(delay)
        );
    }
    format!(
        "{initial} = Age {} + {} the app took; by its Date ({date}) {}",
        seconds(stored.initial_age.saturating_sub(delay)),
        seconds(delay),
        seconds(apparent),
    )
}
