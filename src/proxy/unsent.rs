//! Requests of nobody, made of URLs: what jobs and `POST /refresh` ask for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderName, HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};

use super::cache::{self, Cache};
use super::forward::pass;
use super::outcome::Tally;
use super::request::admit;
use super::request::context::RequestContext;
use super::request::plan::{self, Plan};
use crate::content_coding;
use crate::entry::Priority;
use crate::http_cache::Reason;
use crate::live::Live;

const FORM: &str =
    "write a whole URL as clients ask for it, such as http://app.example/api/items/7";

/// The request of nobody for a URL, with these fields. Its host is a name that the app is told; it is never connected to.
pub fn request(
    url: &str,
    fields: &[(HeaderName, HeaderValue)],
    live: &Arc<Live>,
    pool: usize,
) -> Result<RequestContext, String> {
    let uri: Uri = url.parse().map_err(|_| FORM)?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(FORM.to_owned());
    };
    if !["http", "https"].contains(&scheme) || authority.as_str().contains('@') {
        return Err(FORM.to_owned());
    }
    let mut head = Request::new(());
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| FORM)?;
    head.headers_mut().extend(fields.iter().cloned());
    head.headers_mut().insert(HOST, host);
    let is_secure = live.config.listen.tls.is_some();
    if (scheme == "https") != is_secure {
        let scheme = HeaderValue::from_str(scheme).map_err(|_| FORM)?;
        head.headers_mut().insert("x-forwarded-proto", scheme);
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    *head.uri_mut() = path.parse().map_err(|_| FORM)?;
    let (mut parts, ()) = head.into_parts();
    let admitted = admit::admit(&mut parts).map_err(|refusal| refusal.why)?;
    let mut context = RequestContext::unsent(live.clone(), parts, admitted);
    context.pool = pool;
    Ok(context)
}

/// Whether what is stored would answer it, fresh.
pub async fn is_fresh(cache: &Arc<Cache>, context: RequestContext) -> bool {
    match plan::plan(&context) {
        Plan::Cache(lookup) => cache::holds_fresh(cache, &Arc::new(context), lookup).await,
        _ => false,
    }
}

/// How much of an answer is read, and for how long once it is its turn.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// Of its body.
    pub bytes: usize,
    /// From the request to the end of that.
    pub time: Duration,
}

/// The body of the app's answer, when it is its turn among all that no client waits for, which is stored as well where a
/// rule says so; `Err`: why there is none within `limits`.
pub async fn read(
    cache: &Arc<Cache>,
    tally: &Tally,
    context: RequestContext,
    limits: ReadLimits,
) -> Result<Bytes, ReadError> {
    let gate = context.live.gates.background.clone();
    let _turn = gate.begin(context.urgency(Priority::default())).await;
    let reading = read_now(cache, tally, context, limits.bytes);
    match tokio::time::timeout(limits.time, reading).await {
        Ok(Err(ReadError::ToldToWait(_))) => {
            let delay = gate.stopped_for().unwrap_or_default();
            Err(ReadError::ToldToWait(delay))
        }
        Ok(read) => read,
        Err(_) => Err(ReadError::Broken),
    }
}

async fn read_now(
    cache: &Arc<Cache>,
    tally: &Tally,
    context: RequestContext,
    cap: usize,
) -> Result<Bytes, ReadError> {
    let plan = plan::plan(&context);
    let context = Arc::new(context);
    let outcome = match plan {
        Plan::Cache(lookup) => cache::answer_anew(cache, &context, lookup, None).await,
        Plan::Pass { reason, rule } => pass::forward_at_hand(&context, rule, reason).await,
        Plan::Shadow(lookup) => pass::forward_at_hand(&context, lookup.rule, Reason::Shadow).await,
        _ => return Err(ReadError::NotARead),
    };
    let (head, body) = outcome.finish(tally, &context).into_parts();
    match head.status {
        StatusCode::OK => {}
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            return Err(ReadError::ToldToWait(Duration::ZERO));
        }
        status => return Err(ReadError::Status(status)),
    }
    let body = Limited::new(body, cap).collect().await;
    let body = body.map_err(
        |error| match error.is::<http_body_util::LengthLimitError>() {
            true => ReadError::TooLarge,
            false => ReadError::Broken,
        },
    )?;
    let decoded = content_coding::decode(&head.headers, &body.to_bytes(), cap);
    decoded.map(Bytes::from).ok_or(ReadError::TooLarge)
}

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It would be a write, or an upgrade.
    #[error("it is no read")]
    NotARead,
    /// Another status than 200; a redirect is not followed.
    #[error("the app answered {0}")]
    Status(StatusCode),
    /// 429 or 503, and background work stops for so long.
    #[error("the app is busy (429 or 503)")]
    ToldToWait(Duration),
    /// It is over the cap.
    #[error("its answer is over the cap")]
    TooLarge,
    /// It did not come whole.
    #[error("its answer did not come whole")]
    Broken,
}

impl ReadError {
    /// Whether it may be otherwise the next time.
    pub fn may_pass(self) -> bool {
        match self {
            ReadError::NotARead | ReadError::TooLarge => false,
            ReadError::Status(status) => status.is_server_error(),
            ReadError::ToldToWait(_) | ReadError::Broken => true,
        }
    }
}
