//! `POST /explain`: what this sidecar holds for a request and would do with it, and why.
//!
//! The body is the request to explain; nothing is sent to the app. The answer names no value of a
//! field that may hold a credential, and no body.

mod account;
mod settings;

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use serde::{Deserialize, Serialize};

use super::refusal::Refusal;
use crate::live::Live;
use crate::proxy::obstacles::{self, Obstacle};
use crate::proxy::recall_asker;
use crate::proxy::request::admit;
use crate::proxy::request::context::RequestContext;
use crate::proxy::request::plan::{self, Plan};
use crate::proxy::request::whole_body;
use crate::store::Store;

pub use account::{Account, HeldAccount, Planned, Tier, VariantAccount};
pub use settings::show as show_settings;

/// The request to explain: the body of `POST /explain`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The method.
    pub method: String,
    /// Path and query; or a whole URL as clients ask for it, which says what `Host` and the scheme are.
    pub target: String,
    /// Name and value of each field, `Host` among them unless the target says it.
    pub headers: Vec<(String, String)>,
    /// The body, for a route that answers by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

impl Wanted {
    /// With path and query alone as the target, where that is a whole URL: its host and scheme are told by fields, as a
    /// gateway tells them. `is_secure`: whether the sidecar's own clients use TLS.
    fn with_origin_told(mut self, is_secure: bool) -> Wanted {
        let Ok(uri) = self.target.parse::<Uri>() else {
            return self;
        };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return self;
        };
        let mut tell = |name: &str, value: &str| {
            if !self
                .headers
                .iter()
                .any(|(told, _)| told.eq_ignore_ascii_case(name))
            {
                self.headers.push((name.to_owned(), value.to_owned()));
            }
        };
        tell("host", authority.as_str());
        if (scheme == "https") != is_secure {
            tell("x-forwarded-proto", scheme);
        }
        self.target = uri
            .path_and_query()
            .map_or("/", |target| target.as_str())
            .to_owned();
        self
    }

    /// The head of the request; or what is wrong with it.
    pub fn parts(&self) -> Result<Parts, String> {
        let mut request = Request::new(());
        *request.method_mut() = Method::from_bytes(self.method.as_bytes())
            .map_err(|_| format!("{:?} is not a method", self.method))?;
        let uri: Uri = self
            .target
            .parse()
            .map_err(|error| format!("target {:?}: {error}", self.target))?;
        *request.uri_mut() = uri;
        for (name, value) in &self.headers {
            let field: HeaderName = name
                .parse()
                .map_err(|_| format!("{name:?} is not a field name"))?;
            // The value may be a credential, so it is not repeated.
            let value = HeaderValue::from_str(value)
                .map_err(|_| format!("the value of {name} is not a field value"))?;
            request.headers_mut().append(field, value);
        }
        Ok(request.into_parts().0)
    }
}

/// The request that the body asks about, as this sidecar would take it.
pub(super) fn parse(body: &[u8], live: Arc<Live>) -> Result<RequestContext, Refusal> {
    let wanted: Wanted =
        serde_json::from_slice(body).map_err(|error| Refusal::Malformed(error.to_string()))?;
    let wanted = wanted.with_origin_told(live.config.listen.tls.is_some());
    let mut parts = wanted.parts().map_err(Refusal::Malformed)?;
    let admitted =
        admit::admit(&mut parts).map_err(|refusal| Refusal::Malformed(refusal.why.into()))?;
    let mut asked = RequestContext::unsent(live, parts, admitted);
    if let Some(body) = wanted.body {
        whole_body::note(&mut asked, body.into());
    }
    Ok(asked)
}

/// Adds who asks, if this sidecar knows: the app is not asked.
pub(super) fn recognize(context: &mut RequestContext, store: &Store) {
    if plan::find_wanting(context, &plan::plan(context)).is_some() {
        context.asker = recall_asker(store, context);
    }
}

/// What `store` holds for the request, and what would be done with it.
pub async fn explain(context: &RequestContext, store: &Store) -> Account {
    let plan = plan::plan(context);
    let held = match &plan {
        Plan::Cache(lookup) | Plan::Shadow(lookup) => {
            let rule = context.live.rule(lookup.rule);
            let (coherence, outage) = (rule.settings.coherence, rule.settings.outage);
            let inspection = store.inspect(&lookup.key.text, coherence, outage).await;
            Some(HeldAccount::of(context, lookup, &inspection))
        }
        Plan::Pass { .. } | Plan::Write(_) | Plan::Purge | Plan::Upgrade { .. } => None,
    };
    Account {
        plan: Planned::of(context, &plan),
        in_the_way: obstacles::of_request(context)
            .iter()
            .map(Obstacle::tell)
            .collect(),
        held,
    }
}

#[cfg(test)]
mod tests;
