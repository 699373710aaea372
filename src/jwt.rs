//! Verified claims: a token counts only when its signature, algorithm, times, issuer and audience all
//! hold (RFC 7519 §7.2). Anything less is as if there were no token.

mod decisions;
mod key_set;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use jsonwebtoken::Algorithm;
use parking_lot::Mutex;
use serde_json::Value;

use crate::config::{Jwt, JwtKey, JwtSource, KeyOrigin};
use crate::routes::template::cookie_values;
use decisions::TokenDigest;
use key_set::KeySet;

/// Checks tokens against the keys and demands of `[jwt]`.
#[derive(Debug)]
pub struct Verifier {
    source: JwtSource,
    algorithms: Vec<Algorithm>,
    keys: ArcSwap<KeySet>,
    issuer: Option<String>,
    audience: Vec<String>,
    leeway: Duration,
    renewal: Mutex<Renewal>,
}

/// How the keys were last renewed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// When they were last found to be as they are; `None`: they were read with the config.
    pub last_success: Option<SystemTime>,
    /// Why they have not been renewed since.
    pub last_error: Option<String>,
}

/// Why no verifier can be made of a `[jwt]` table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtConfigError {
    /// No algorithm is allowed, so no token could ever count.
    #[error("`algorithms` is empty; name those your tokens are signed with, such as [\"HS256\"]")]
    NoAlgorithm,
    /// An algorithm there is none of, or `none`.
    #[error(
        "`algorithms` has `{0}`; known are HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, \
         PS512, ES256, ES384, EdDSA"
    )]
    UnknownAlgorithm(String),
    /// The secret is empty: anyone could sign with it.
    #[error("the secret is empty")]
    EmptySecret,
    /// Not a public key.
    #[error(
        "the public key cannot be read; give it in PEM, beginning with `-----BEGIN PUBLIC KEY-----`"
    )]
    Pem,
    /// Not a JWKS document.
    #[error("the JWKS document cannot be read: {0}")]
    Jwks(String),
    /// No key is of use for any allowed algorithm.
    #[error("no key is for any of `algorithms` ({0}); name those your tokens are signed with")]
    Unfit(String),
}

impl Verifier {
    /// Reads the keys.
    pub fn new(config: &Jwt) -> Result<Verifier, JwtConfigError> {
        let algorithms = algorithms(&config.algorithms)?;
        let keys = KeySet::new(&config.key, &algorithms)?;
        let is_fetched = matches!(config.origin, KeyOrigin::Url(_));
        if keys.count_useful() == 0 && !is_fetched {
            return Err(JwtConfigError::Unfit(config.algorithms.join(", ")));
        }
        Ok(Verifier {
            source: config.source.clone(),
            algorithms,
            keys: ArcSwap::from_pointee(keys),
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            leeway: config.leeway,
            renewal: Mutex::default(),
        })
    }

    /// How many keys it has that may verify a token.
    pub fn count_keys(&self) -> usize {
        self.keys.load().count_useful()
    }

    /// How its keys were last renewed.
    pub fn renewal(&self) -> Renewal {
        self.renewal.lock().clone()
    }

    /// Its keys were found to be as they are.
    pub fn note_renewed(&self, now: SystemTime) {
        *self.renewal.lock() = Renewal {
            last_success: Some(now),
            last_error: None,
        };
    }

    /// What was found in place of its keys is of no use.
    pub fn note_refused(&self, why: String) {
        self.renewal.lock().last_error = Some(why);
    }

    /// Whether its keys are those of `key`.
    pub fn has_keys_of(&self, key: &JwtKey) -> bool {
        self.keys.load().made_of() == key
    }

    /// Whether a token has named a key that is not among its keys since this was asked last.
    pub fn take_missed_key(&self) -> bool {
        self.keys.load().take_missed()
    }

    /// Puts other keys in place of its own, for all later requests; how many of them may verify tokens. After
    /// an error the old ones stay.
    pub fn replace_keys(&self, key: &JwtKey) -> Result<usize, JwtConfigError> {
        let keys = KeySet::new(key, &self.algorithms)?;
        let useful = keys.count_useful();
        self.keys.store(Arc::new(keys));
        Ok(useful)
    }

    /// Puts the keys of another verifier in place of its own, for the algorithms that it allows itself.
    pub fn take_keys_of(&self, other: &Verifier) {
        if let Ok(keys) = KeySet::new(other.keys.load().made_of(), &self.algorithms) {
            self.keys.store(Arc::new(keys));
            *self.renewal.lock() = other.renewal();
        }
    }

    /// The claims of the request's token if all of it holds at `now`. That a key has signed it is found out once;
    /// whether it holds is asked each time.
    pub fn verify(&self, headers: &HeaderMap, now: SystemTime) -> Option<Arc<Value>> {
        let token = self.token(headers)?;
        let now = since_epoch(now);
        let digest = TokenDigest::of(token);
        let keys = self.keys.load();
        if let Some(claims) = keys.decisions.find(&digest, now) {
            return self.holds(&claims, now).then_some(claims);
        }
        let claims = Arc::new(keys.find_claims(token)?);
        if !self.holds(&claims, now) {
            return None;
        }
        let until = claims["exp"].as_f64()? + self.leeway.as_secs_f64();
        keys.decisions
            .keep(digest, token.len(), &claims, (now, until));
        Some(claims)
    }

    /// Only a single token counts: of two, the app may read the other.
    fn token<'h>(&self, headers: &'h HeaderMap) -> Option<&'h [u8]> {
        match &self.source {
            JwtSource::Authorization => after_bearer(only_line(headers, &AUTHORIZATION)?),
            JwtSource::Cookie(name) => {
                let mut values = cookie_values(headers, name);
                let value = values.next().filter(|_| values.next().is_none())?;
                Some(value.trim_ascii_end())
            }
            JwtSource::Header(name) => {
                let line = only_line(headers, name)?;
                Some(after_bearer(line).unwrap_or(line.trim_ascii()))
            }
        }
    }

    /// RFC 7519 §4.1, in its order.
    fn holds(&self, claims: &Value, now: f64) -> bool {
        // §4.1.1 "iss"
        if let Some(issuer) = &self.issuer
            && claims["iss"].as_str() != Some(issuer)
        {
            return false;
        }
        // §4.1.3 "aud": one string or several.
        let is_audience = |value: &Value| {
            let mut wanted = self.audience.iter();
            wanted.any(|audience| value.as_str() == Some(audience))
        };
        let several = claims["aud"].as_array();
        if !self.audience.is_empty()
            && !is_audience(&claims["aud"])
            && !several.is_some_and(|several| several.iter().any(is_audience))
        {
            return false;
        }
        let leeway = self.leeway.as_secs_f64();
        // §4.1.4 "exp": not accepted on or after it; required here, since what is stored under a
        // claim outlives the check.
        if !claims["exp"].as_f64().is_some_and(|exp| now < exp + leeway) {
            return false;
        }
        // §4.1.5 "nbf"
        match claims.get("nbf") {
            None => true,
            Some(nbf) => nbf.as_f64().is_some_and(|nbf| nbf <= now + leeway),
        }
    }
}

fn algorithms(names: &[String]) -> Result<Vec<Algorithm>, JwtConfigError> {
    if names.is_empty() {
        return Err(JwtConfigError::NoAlgorithm);
    }
    names
        .iter()
        .map(|name| {
            name.parse()
                .map_err(|_| JwtConfigError::UnknownAlgorithm(name.clone()))
        })
        .collect()
}

fn only_line<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h [u8]> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next().filter(|_| lines.next().is_none())?;
    Some(line.as_bytes())
}

/// RFC 6750 §2.1.
fn after_bearer(line: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = line.split_at_checked(b"Bearer ".len())?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"Bearer ");
    is_bearer.then(|| token.trim_ascii())
}

/// Seconds, as `NumericDate` counts them (RFC 7519 §2).
fn since_epoch(time: SystemTime) -> f64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => after.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}
