//! The request of nobody for a URL: for what is fetched without a client.

use std::sync::Arc;

use http::header::HOST;
use http::{HeaderValue, Request, Uri};

use super::admit;
use super::context::RequestContext;
use crate::live::Live;

/// The request of nobody for a URL, by the app's connections of this worker. Its host is a name that the app is told; it
/// is never connected to. The error says what to write instead.
pub fn get(url: &str, live: &Arc<Live>, pool: usize) -> Result<RequestContext, String> {
    const FORM: &str =
        "write a whole URL as clients ask for it, such as http://app.example/api/items/7";
    let uri: Uri = url.parse().map_err(|_| FORM)?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(FORM.to_owned());
    };
    if !["http", "https"].contains(&scheme) || authority.as_str().contains('@') {
        return Err(FORM.to_owned());
    }
    let mut head = Request::new(());
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| FORM)?;
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
