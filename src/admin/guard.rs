//! Who may change or see what is stored, and how much may be sent to ask for it.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::refusal::{MAX_BODY, Refusal};
use crate::secret::is_same_secret;

/// For the whole body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether the sender may purge, or see what is stored. `token` is the configured one.
///
/// A browser sends `Origin` with every POST, also after DNS rebinding, and a script on a page can neither remove nor
/// forge it; operators' tools send none. Only the page of this very interface may act ([`is_of_this_origin`]).
pub fn authorize(headers: &HeaderMap, token: Option<&str>) -> Result<(), Refusal> {
    if headers.contains_key(ORIGIN) && !is_of_this_origin(headers) {
        return Err(Refusal::Origin);
    }
    let token = token
        .filter(|token| !token.is_empty())
        .ok_or(Refusal::NoToken)?;
    match shows_one_of(headers, &[token]) {
        true => Ok(()),
        false => Err(Refusal::Unauthorized),
    }
}

/// Whether the sender may see figures: anybody, unless a token is asked for that; who may act may see, too.
pub fn authorize_reading(
    headers: &HeaderMap,
    read_token: Option<&str>,
    token: Option<&str>,
) -> Result<(), Refusal> {
    let Some(read_token) = read_token else {
        return Ok(());
    };
    let tokens: Vec<&str> = [Some(read_token), token].into_iter().flatten().collect();
    match shows_one_of(headers, &tokens) {
        true => Ok(()),
        false => Err(Refusal::Unauthorized),
    }
}

fn shows_one_of(headers: &HeaderMap, tokens: &[&str]) -> bool {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(given), None) = (given.next(), given.next()) else {
        return false;
    };
    parse_bearer(given.as_bytes()).is_some_and(|given| {
        let is_it = |token: &&str| is_same_secret(given, token.as_bytes());
        tokens.iter().any(is_it)
    })
}

/// Whether the page that sends this is served here: its origin has the host and port that it asks, which were found to be
/// ours (`host`). A proxy before this one may have added TLS, so the scheme tells nothing.
fn is_of_this_origin(headers: &HeaderMap) -> bool {
    let only = |name| {
        let mut fields = headers.get_all(name).iter();
        let field = fields.next().filter(|_| fields.next().is_none());
        field.and_then(|field| field.to_str().ok())
    };
    let site = headers.get("sec-fetch-site");
    if site.is_some_and(|site| site != "same-origin") {
        return false;
    }
    let origin = only(ORIGIN).unwrap_or_default();
    let authority = ["http://", "https://"]
        .into_iter()
        .find_map(|scheme| origin.strip_prefix(scheme));
    authority.is_some_and(|authority| {
        !authority.is_empty() && only(HOST).is_some_and(|host| host.eq_ignore_ascii_case(authority))
    })
}

/// The token of `Bearer TOKEN`; the scheme's case does not matter (RFC 9110 §11.1).
fn parse_bearer(credentials: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = credentials.split_at_checked(b"Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| token.trim_ascii())
}

/// The body, if it is declared JSON, of a bounded length, and arrives in time.
pub async fn read_body<B>(headers: &HeaderMap, body: B) -> Result<Bytes, Refusal>
where
    B: http_body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    check_head(headers)?;
    let whole = Limited::new(body, MAX_BODY).collect();
    match tokio::time::timeout(BODY_TIMEOUT, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge),
        Ok(Err(_)) => Err(Refusal::BodyBroken),
        Err(_) => Err(Refusal::BodyTimeout),
    }
}

/// What can be refused before a byte of the body is read.
fn check_head(headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let media_type = text(CONTENT_TYPE).and_then(|value| value.split(';').next());
    if !media_type.is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json")) {
        return Err(Refusal::MediaType);
    }
    match text(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length > MAX_BODY as u64 => Err(Refusal::TooLarge),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
