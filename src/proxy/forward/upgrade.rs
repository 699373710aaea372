//! Upgrades (WebSocket): handed over byte for byte, and only once the app has said 101.

use std::sync::Arc;

use http::header::{CONNECTION, TE, UPGRADE};
use http::{HeaderValue, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::exchange::{exchange, passed_on};
use super::{expect, outgoing};
use crate::body::{Body, Droppable, Progress, Received};
use crate::http_cache::{Reason, remove};
use crate::proxy::outcome::Outcome;
use crate::proxy::request::context::RequestContext;
use crate::upstream::Arriving;

/// Forwards a request to upgrade. The relay that may follow holds `connection_guard`.
pub(in crate::proxy) async fn forward(
    context: &RequestContext,
    rule: Option<usize>,
    body: Received,
    connection_guard: Arc<dyn Droppable>,
) -> Outcome {
    let progress = Progress::default();
    let client = context.parts.extensions.get::<OnUpgrade>().cloned();
    let body = outgoing::body(context, body, &progress, None);
    let (body, expectation) = expect::hold(&context.parts, body);
    let mut request = outgoing::request(context, body, &expectation);
    // `Connection` is this upgrade's from here on.
    remove(request.headers_mut(), |name| *name == TE);
    request
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("upgrade"));
    for protocol in context.parts.headers.get_all(UPGRADE) {
        request.headers_mut().append(UPGRADE, protocol.clone());
    }
    let upstream = context.upstream();
    let sending = upstream.send_with_retry(request, &progress);
    match exchange(context, rule, sending).await {
        Ok(mut response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            let app = hyper::upgrade::on(&mut response);
            if let Some(client) = client {
                tokio::spawn(relay(client, app, connection_guard));
            }
            Outcome::new(rule, Reason::Upgrade, switched(response))
                .asked_app(StatusCode::SWITCHING_PROTOCOLS)
        }
        Ok(response) => {
            let status = response.status();
            let response = expectation.answered(passed_on(response, upstream));
            let response = outgoing::end_after_trailers(context, &progress, response);
            Outcome::new(rule, Reason::Upgrade, response).asked_app(status)
        }
        Err(failure) => failure.outcome(context, rule),
    }
}

fn switched(response: Response<Arriving>) -> Response<Body> {
    // `Connection` and `Upgrade` belong to a 101.
    let (head, _) = response.into_parts();
    Response::from_parts(head, Body::empty())
}

/// Ends with either side; until then it counts as a connection and the drain waits for it.
async fn relay(client: OnUpgrade, app: OnUpgrade, connection_guard: Arc<dyn Droppable>) {
    let (Ok(client), Ok(app)) = (client.await, app.await) else {
        return;
    };
    let (mut client, mut app) = (TokioIo::new(client), TokioIo::new(app));
    if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut app).await {
        tracing::debug!(%error, "upgraded connection ended");
    }
    drop(connection_guard);
}
