//! The request by which the app is asked who asks, and its answer.

use http::header::{ACCEPT, HOST, USER_AGENT, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};

use crate::auth::Verdict;
use crate::body::{Body, Progress};
use crate::config::Auth;
use crate::content_coding;
use crate::proxy::forward::exchange::passed_on;
use crate::proxy::request::context::RequestContext;
use crate::upstream::Upstream;

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// It carries what the digest of the credentials is of, and nothing else of the client's request.
pub(super) fn request(context: &RequestContext, auth: &Auth) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = Uri::from(auth.url.clone());
    let fields = request.headers_mut();
    for (name, value) in auth.credentials.of(&context.parts.headers) {
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            fields.append(name, value);
        }
    }
    if let Some(host) = context.parts.headers.get(HOST) {
        fields.insert(HOST, host.clone());
    }
    for (name, text) in [
        (FORWARDED_PROTO, context.scheme()),
        (FORWARDED_HOST, &context.host),
        (ACCEPT, "application/json"),
        (USER_AGENT, "pannier"),
    ] {
        add_unless_there(fields, name, text);
    }
    fields.append(VIA, HeaderValue::from_static("1.1 pannier"));
    request
}

fn add_unless_there(fields: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        fields.entry(name).or_insert(value);
    }
}

/// What the app says, within `[auth] timeout`.
pub(super) async fn ask(upstream: &Upstream, auth: &Auth, request: Request<Body>) -> Verdict {
    match tokio::time::timeout(auth.timeout, exchange(upstream, auth, request)).await {
        Ok(Some((status, body))) => {
            let verdict = Verdict::of_answer(auth, status, body.as_deref());
            if verdict == Verdict::Failed {
                tracing::warn!(url = %auth.url, status = status.as_u16(), "the check of who asks says nothing");
            }
            verdict
        }
        Ok(None) => Verdict::Failed,
        Err(_) => {
            tracing::warn!(url = %auth.url, after = ?auth.timeout, "no answer to the check of who asks");
            Verdict::Failed
        }
    }
}

/// Status and body of the answer; its body `None` where it is too long, broken or cannot be read, all of it where the
/// app gave none.
async fn exchange(
    upstream: &Upstream,
    auth: &Auth,
    request: Request<Body>,
) -> Option<(StatusCode, Option<Vec<u8>>)> {
    let answer = upstream
        .send_with_retry(request, &Progress::default())
        .await;
    let answer = answer
        .inspect_err(
            |error| tracing::warn!(url = %auth.url, %error, "the check of who asks failed"),
        )
        .ok()?;
    let (head, body) = passed_on(answer, upstream).into_parts();
    if !auth.allow.contains(&head.status) {
        return Some((head.status, None));
    }
    let whole = Limited::new(body, auth.max_body).collect().await.ok();
    let decoded = whole
        .and_then(|whole| content_coding::decode(&head.headers, &whole.to_bytes(), auth.max_body));
    Some((head.status, decoded))
}
