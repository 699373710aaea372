//! Whether an answer with the head of `-R` and `--status` would be stored.

use anyhow::Context;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use super::split_field;
use crate::cli;
use crate::clock::Clock;
use crate::http_cache::Exchange;
use crate::http_cache::explain::{self, Statement};
use crate::proxy::obstacles::{self, Obstacle};
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::plan::{self, Plan};

/// What is to be said of an answer, and what of it is in the way of a hit.
pub(super) struct ForeseenAnswer {
    pub(super) statements: Vec<Statement>,
    pub(super) in_the_way: Vec<Obstacle>,
}

/// What is to be said of that answer, if one is given and the request is looked up at all.
pub(super) fn foresee(
    args: &cli::Explain,
    asked: &RequestContext,
    body: Option<&Value>,
) -> anyhow::Result<Option<ForeseenAnswer>> {
    if args.status.is_none() && args.response_headers.is_empty() {
        return Ok(None);
    }
    let status = args.status.unwrap_or(200);
    let status = StatusCode::from_u16(status).with_context(|| format!("--status {status}"))?;
    let headers = headers(&args.response_headers)?;
    // What the request itself lacks is told besides; its answer is judged as if it did not.
    let (lookup, is_looked_up) = match plan::plan(asked) {
        Plan::Cache(lookup) | Plan::Shadow(lookup) => (lookup, true),
        Plan::Pass { rule, .. } => (plan::look_up_anyway(asked, rule), false),
        Plan::Write(_) | Plan::Purge | Plan::Upgrade { .. } => return Ok(None),
    };
    let now = Clock::default().now();
    let response = Exchange {
        status,
        headers: &headers,
        request_time: now,
        response_time: now,
        clock_lead: Default::default(),
    };
    let request = lookup.head(asked);
    let policy = asked.live.rule(lookup.rule).policy;
    let foreseen = explain::foresee(&request, &response, policy);
    Ok(Some(ForeseenAnswer {
        statements: match is_looked_up {
            true => foreseen.statements,
            false => Vec::new(),
        },
        in_the_way: obstacles::of_answer(asked, &lookup, &response, body),
    }))
}

fn headers(fields: &[String]) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for field in fields {
        let (name, value) = split_field(field, "-R")?;
        let name: HeaderName = name.parse().with_context(|| format!("-R {field:?}"))?;
        let value = HeaderValue::from_str(&value).with_context(|| format!("-R {field:?}"))?;
        headers.append(name, value);
    }
    Ok(headers)
}
