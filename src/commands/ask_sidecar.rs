//! Asking the admin interface of a running sidecar.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::admin_address::AdminAddress;

/// For the whole exchange.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of an answer; a sidecar's are far shorter.
const MAX_ANSWER: usize = 1024 * 1024;

/// Why a sidecar did not tell.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("nobody answers there ({0})")]
    NoAnswer(String),
    #[error("no answer within {} s", _0.as_secs())]
    Timeout(Duration),
    #[error("it refuses ({status}): {why}")]
    Refused { status: StatusCode, why: String },
    #[error("it speaks, but not as this version of Pannier does")]
    NotPannier,
}

/// What is asked.
pub(super) struct Question<'q> {
    /// GET or POST.
    pub(super) method: Method,
    /// Of the endpoint.
    pub(super) path: &'q str,
    /// The token, for endpoints that want it.
    pub(super) token: Option<&'q str>,
    /// JSON; empty: none.
    pub(super) body: Vec<u8>,
}

/// What the sidecar at `admin` answers.
pub(super) async fn ask<T: DeserializeOwned>(
    admin: &AdminAddress,
    question: Question<'_>,
) -> Result<T, AskError> {
    let asking = async {
        let response = send(admin, question).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER);
        let body = body.collect().await.map_err(|_| AskError::NotPannier)?;
        read_answer(status, &body.to_bytes())
    };
    let answer = tokio::time::timeout(TIMEOUT, asking).await;
    answer.unwrap_or(Err(AskError::Timeout(TIMEOUT)))
}

/// The status with which it answers a GET, within `timeout`.
pub(super) async fn ask_for_status(
    admin: &AdminAddress,
    path: &str,
    timeout: Duration,
) -> Result<StatusCode, AskError> {
    let question = Question {
        method: Method::GET,
        path,
        token: None,
        body: Vec::new(),
    };
    let answer = tokio::time::timeout(timeout, send(admin, question)).await;
    Ok(answer.unwrap_or(Err(AskError::Timeout(timeout)))?.status())
}

async fn send(
    admin: &AdminAddress,
    question: Question<'_>,
) -> Result<Response<Incoming>, AskError> {
    let mut request = Request::builder()
        .method(question.method)
        .uri(format!("{}{}", admin.url(), question.path))
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(token) = question.token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request
        .body(Full::new(Bytes::from(question.body)))
        .map_err(|error| AskError::NoAnswer(error.to_string()))?;
    let tls = admin.tls();
    let tls = tls.map_err(|error| AskError::NoAnswer(error.to_string()))?;
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .build();
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let response = client.request(request).await;
    response.map_err(|error| AskError::NoAnswer(find_cause(&error)))
}

fn read_answer<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> Result<T, AskError> {
    if status == StatusCode::OK {
        return serde_json::from_slice(body).map_err(|_| AskError::NotPannier);
    }
    let answer: Option<Value> = serde_json::from_slice(body).ok();
    let why = answer.as_ref().and_then(|answer| answer["error"].as_str());
    match why {
        // One that has no such endpoint lists those that it has.
        Some(why) if !why.starts_with("there are: ") => Err(AskError::Refused {
            status,
            why: why.to_owned(),
        }),
        _ => Err(AskError::NotPannier),
    }
}

/// The cause that says most.
fn find_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::explain::Account;

    #[test]
    fn answers_that_are_none() {
        let cases = [
            ("another server", 200, "<html>", "not as this version"),
            (
                "an older one",
                404,
                r#"{"error":"there are: …"}"#,
                "not as this version",
            ),
            (
                "a refusal",
                401,
                r#"{"error":"needs a token"}"#,
                "refuses (401 Unauthorized): needs a token",
            ),
            (
                "half an account",
                200,
                r#"{"plan":{}}"#,
                "not as this version",
            ),
        ];
        for (name, status, body, expected) in cases {
            let status = StatusCode::from_u16(status).unwrap();
            let error = read_answer::<Account>(status, body.as_bytes())
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{name}: {error}");
        }
    }
}
