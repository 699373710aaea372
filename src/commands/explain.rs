//! `pannier explain`: what would happen to a request, and what is stored for it, with the reasons.
//!
//! The plan is made from the file alone. What is stored is asked of the running sidecar; where none
//! answers, it is read from Redis. The request itself is sent to nobody.

mod curl;
mod plan;
mod response;
mod show;
mod stored;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use http::Uri;
use serde_json::Value;

use crate::admin::explain::Wanted;
use crate::cli;
use crate::config::{Config, Env};
use crate::http_cache::Reason;
use crate::in_flight::InFlight;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::proxy::obstacles::{self, Obstacle};
use crate::proxy::request::admit;
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::whole_body;
use crate::routes::Form;
use crate::routes::json::Document;
use plan::Explanation;
use show::{Line, Report};

/// Explains one request against a config file.
pub fn explain(args: &cli::Explain, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let loaded = match Config::load(&args.config, &Env::process()) {
        Ok(loaded) => loaded,
        Err(errors) => {
            eprintln!("{errors}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let config = loaded.config;
    let wanted = read_request(args)?;
    let mut parts = wanted.parts().map_err(anyhow::Error::msg)?;
    let source = Some(args.config.clone());
    // It asks no app.
    let in_flight = InFlight::new(0, 0);
    let live = Arc::new(Live::new(config, source, &Metrics::new(), &in_flight)?);
    let report = match admit::admit(&mut parts) {
        Ok(admitted) => {
            let mut asked = RequestContext::unsent(live, parts, admitted);
            if let Some(body) = &wanted.body {
                whole_body::note(&mut asked, body.clone().into());
            }
            let body = match (Form::of(&asked.parts.headers), &args.body) {
                (Some(form), Some(text)) => Some(form.read(text.as_bytes())),
                (None, Some(_)) => parse_json(&args.body, "--body")?,
                // Of a command it may be anything.
                (_, None) => asked.sent.as_whole().and_then(|body| body.document.clone()),
            };
            let explanation = Explanation {
                in_the_way: obstacles::of_request(&asked),
                asked,
                body,
                answer: parse_json(&args.response, "--response")?,
            };
            let stored = stored::look_up(args, &wanted, &explanation.asked)?;
            let answer = explanation.answer.as_ref();
            let foreseen = response::foresee(args, &explanation.asked, answer)?;
            let mut in_the_way = explanation.in_the_way.clone();
            let (statements, of_answer) = foreseen.map_or((None, Vec::new()), |foreseen| {
                (Some(foreseen.statements), foreseen.in_the_way)
            });
            in_the_way.extend(of_answer);
            drop_told_twice(&mut in_the_way);
            Report {
                stored,
                response: statements,
                plan: explanation.explain(),
                edits: obstacles::edits(&in_the_way),
                in_the_way: in_the_way.iter().map(Obstacle::tell).collect(),
            }
        }
        Err(refusal) => Report {
            plan: vec![
                Line::new("answer", format!("{} ({})", refusal.status, refusal.why)),
                Line::new("reason", Reason::BadRequest.as_str()),
            ],
            ..Report::default()
        },
    };
    report.write(args.json, out)?;
    Ok(ExitCode::SUCCESS)
}

/// Who asks stands in the way of the request already; the answer's own word for it says nothing new.
fn drop_told_twice(in_the_way: &mut Vec<Obstacle>) {
    let is_named = |obstacle: &Obstacle| obstacle.reason == Reason::Identity;
    if in_the_way.iter().any(is_named) {
        let again = [Reason::Authorization, Reason::Cookie];
        in_the_way.retain(|obstacle| !again.contains(&obstacle.reason));
    }
}

/// The request of the command line.
fn read_request(args: &cli::Explain) -> anyhow::Result<Wanted> {
    let from_curl = args.from_curl.as_deref().map(curl::parse).transpose()?;
    let (method, url) = match (&from_curl, args.request.as_slice(), &args.method) {
        (Some(curl), ..) => (curl.method.as_str(), &curl.url),
        (None, [url], method) => (method.as_deref().unwrap_or("GET"), url),
        (None, [method, url], None) => (method.as_str(), url),
        _ => bail!("give the method once: before the URL, or with -X"),
    };
    let uri: Uri = url.parse().with_context(|| format!("URL {url:?}"))?;
    let mut headers = args
        .headers
        .iter()
        .map(|field| split_field(field, "-H"))
        .collect::<anyhow::Result<Vec<_>>>()?;
    headers.extend(
        from_curl
            .iter()
            .flat_map(|curl| curl.headers.iter().cloned()),
    );
    let names_host = |(name, _): &(String, String)| name.eq_ignore_ascii_case("host");
    if !headers.iter().any(names_host) {
        let host = uri
            .authority()
            .map_or("localhost", |authority| authority.as_str());
        headers.push(("host".to_owned(), host.to_owned()));
    }
    let body = args.body.clone();
    let body = body.or_else(|| from_curl.as_ref().and_then(|curl| curl.body.clone()));
    let names_kind = |(name, _): &(String, String)| name.eq_ignore_ascii_case("content-type");
    if body.is_some() && !headers.iter().any(names_kind) {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    let target = uri.path_and_query();
    Ok(Wanted {
        method: method.to_owned(),
        target: target.map_or("/", |target| target.as_str()).to_owned(),
        headers,
        body,
    })
}

/// Name and value of `Name: value`.
fn split_field(field: &str, option: &str) -> anyhow::Result<(String, String)> {
    match field.split_once(':') {
        Some((name, value)) => Ok((name.trim().to_owned(), value.trim().to_owned())),
        None => bail!("{option} {field:?}: write it as 'Name: value'"),
    }
}

fn parse_json(text: &Option<String>, option: &str) -> anyhow::Result<Option<Value>> {
    text.as_deref()
        .map(serde_json::from_str::<Document>)
        .transpose()
        .map(|document| document.map(|document| document.value))
        .with_context(|| format!("{option} is not JSON"))
}
