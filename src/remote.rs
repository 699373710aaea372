//! Servers that are not the app and that Pannier itself asks: where keys are, where alerts go. They are asked seldom, and what
//! they lead to elsewhere is not followed.

use std::time::Duration;

use http::header::{HOST, USER_AGENT};
use http::{Method, Request, Response, StatusCode, request};

use crate::body::{Body, Progress};
use crate::config::RemoteUrl;
use crate::in_flight::InFlight;
use crate::upstream::{Arriving, PoolError, Upstream, UpstreamError};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// Its certificate authorities cannot be had.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// It gave none.
    #[error("{}", in_words(_0))]
    Server(#[from] UpstreamError),
    /// It was too slow.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// The head of a request to `url`.
pub fn request(url: &RemoteUrl, method: Method) -> request::Builder {
    Request::builder()
        .method(method)
        .uri(url.path.as_str())
        .header(HOST, url.host.as_str())
        .header(USER_AGENT, concat!("pannier/", env!("CARGO_PKG_VERSION")))
}

/// The answer to it, connecting included within `timeout`.
pub async fn send(
    url: &RemoteUrl,
    request: Request<Body>,
    timeout: Duration,
    in_flight: &InFlight,
) -> Result<Response<Arriving>, RemoteError> {
    // Made anew each time: its certificate authorities may have changed.
    let server = Upstream::new(&url.as_upstream(timeout), in_flight.clone())?;
    let progress = Progress::default();
    let answer = tokio::time::timeout(timeout, server.send_with_retry(request, &progress)).await;
    Ok(answer.map_err(|_| RemoteError::Timeout(timeout))??)
}

/// Posts JSON, within `timeout`; the status of the answer.
pub async fn post(
    url: &RemoteUrl,
    json: String,
    timeout: Duration,
    in_flight: &InFlight,
) -> Result<StatusCode, RemoteError> {
    let request = request(url, Method::POST)
        .header("content-type", "application/json")
        .header("content-length", json.len())
        .body(Body::whole(json.into()))
        .expect("host and path were parsed with the URL");
    Ok(send(url, request, timeout, in_flight).await?.status())
}

fn in_words(error: &UpstreamError) -> String {
    match error {
        UpstreamError::Connect(error) => format!("it cannot be reached ({error})"),
        UpstreamError::Refused(error) | UpstreamError::Broken(error) => {
            format!("its connection failed ({error})")
        }
        UpstreamError::Malformed(what) => format!("its answer is malformed ({what})"),
        UpstreamError::RequestBody(_)
        | UpstreamError::Timeout(_)
        | UpstreamError::Busy
        | UpstreamError::Crowded(_) => "it did not answer".to_owned(),
    }
}
