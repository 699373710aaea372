//! Verified claims: a token counts only when its signature, algorithm, times, issuer and audience all
//! hold (RFC 7519 §7.2). Anything less is as if there were no token.

#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::AUTHORIZATION;
use jsonwebtoken::jwk::{Jwk, JwkSet, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Header, Validation};
use serde_json::Value;

use crate::config::{Jwt, JwtKey, JwtSource};
use crate::routes::json::Document;
use crate::routes::template::cookie_values;

/// Checks tokens against the keys and demands of `[jwt]`.
#[derive(Clone, Debug)]
pub struct Verifier {
    source: JwtSource,
    keys: Vec<Key>,
    issuer: Option<String>,
    audience: Option<String>,
    leeway: Duration,
}

/// A key and the only algorithms it is used with: a public key must never verify an HMAC
/// (RFC 8725 §3.1).
#[derive(Clone, Debug)]
struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
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
        let allowed = algorithms(&config.algorithms)?;
        let keys = match &config.key {
            JwtKey::Secret(secret) if secret.is_empty() => return Err(JwtConfigError::EmptySecret),
            JwtKey::Secret(secret) => vec![Key::new(DecodingKey::from_secret(secret), &allowed)],
            JwtKey::Pem(pem) => vec![Key::new(public_key(pem)?, &allowed)],
            JwtKey::Jwks(document) => key_set(document, &allowed)?,
        };
        if keys.iter().all(|key| key.algorithms.is_empty()) {
            return Err(JwtConfigError::Unfit(config.algorithms.join(", ")));
        }
        Ok(Verifier {
            source: config.source.clone(),
            keys,
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            leeway: config.leeway,
        })
    }

    /// The claims of the request's token if all of it holds at `now`.
    pub fn verify(&self, headers: &HeaderMap, now: SystemTime) -> Option<Value> {
        let token = self.token(headers)?;
        let header = jsonwebtoken::decode_header(token).ok()?;
        // RFC 7515 §4.1.11: what is critical and not understood makes the token invalid.
        if header.crit.is_some() {
            return None;
        }
        let claims = self
            .candidates(&header)
            .find_map(|key| signed_claims(token, header.alg, key))?;
        self.holds(&claims, now).then_some(claims)
    }

    /// Only a single token counts: of two, the app may read the other.
    fn token<'h>(&self, headers: &'h HeaderMap) -> Option<&'h [u8]> {
        match &self.source {
            JwtSource::Authorization => {
                let mut lines = headers.get_all(AUTHORIZATION).iter();
                let line = lines.next().filter(|_| lines.next().is_none())?;
                let (scheme, token) = line.as_bytes().split_at_checked(b"Bearer ".len())?;
                scheme
                    .eq_ignore_ascii_case(b"Bearer ")
                    .then(|| token.trim_ascii())
            }
            JwtSource::Cookie(name) => {
                let mut values = cookie_values(headers, name);
                let value = values.next().filter(|_| values.next().is_none())?;
                Some(value.trim_ascii_end())
            }
        }
    }

    /// The key the token names, else all that its algorithm fits.
    fn candidates(&self, header: &Header) -> impl Iterator<Item = &Key> {
        let named = |key: &&Key| header.kid.is_some() && key.id == header.kid;
        let is_named = self.keys.iter().any(|key| named(&key));
        self.keys
            .iter()
            .filter(move |key| !is_named || named(key))
            .filter(|key| key.algorithms.contains(&header.alg))
    }

    /// RFC 7519 §4.1, in its order.
    fn holds(&self, claims: &Value, now: SystemTime) -> bool {
        // §4.1.1 "iss"
        if let Some(issuer) = &self.issuer
            && claims["iss"].as_str() != Some(issuer)
        {
            return false;
        }
        // §4.1.3 "aud": one string or several.
        if let Some(audience) = &self.audience {
            let is_audience = |value: &Value| value.as_str() == Some(audience);
            let several = claims["aud"].as_array();
            if !is_audience(&claims["aud"])
                && !several.is_some_and(|several| several.iter().any(is_audience))
            {
                return false;
            }
        }
        let now = since_epoch(now);
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

impl Key {
    fn new(key: DecodingKey, allowed: &[Algorithm]) -> Key {
        let fits = |algorithm: &&Algorithm| algorithm.family() == key.family();
        Key {
            id: None,
            algorithms: allowed.iter().filter(fits).copied().collect(),
            key,
        }
    }

    /// `None` for a key that is not meant for signatures, or not of a known kind (RFC 7517 §4, §5).
    fn from_jwk(jwk: &Jwk, allowed: &[Algorithm]) -> Option<Key> {
        let common = &jwk.common;
        let signs = !matches!(
            common.public_key_use,
            Some(PublicKeyUse::Encryption | PublicKeyUse::Other(_))
        );
        let verifies = common
            .key_operations
            .as_ref()
            .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        if !signs || !verifies {
            return None;
        }
        let mut key = Key::new(DecodingKey::from_jwk(jwk).ok()?, allowed);
        key.id = common.key_id.clone();
        if let Some(only) = common.key_algorithm {
            let only = Algorithm::try_from(only).ok()?;
            key.algorithms.retain(|algorithm| *algorithm == only);
        }
        (!is_empty_secret(&key.key)).then_some(key)
    }
}

fn is_empty_secret(key: &DecodingKey) -> bool {
    key.family() == AlgorithmFamily::Hmac && key.try_get_as_bytes().is_ok_and(<[u8]>::is_empty)
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

fn public_key(pem: &[u8]) -> Result<DecodingKey, JwtConfigError> {
    // The library would take a private key or a certificate, and then verify nothing with it.
    let text = std::str::from_utf8(pem).map_err(|_| JwtConfigError::Pem)?;
    if !text.contains("PUBLIC KEY-----") {
        return Err(JwtConfigError::Pem);
    }
    DecodingKey::from_rsa_pem(pem)
        .or_else(|_| DecodingKey::from_ec_pem(pem))
        .or_else(|_| DecodingKey::from_ed_pem(pem))
        .map_err(|_| JwtConfigError::Pem)
}

fn key_set(document: &str, allowed: &[Algorithm]) -> Result<Vec<Key>, JwtConfigError> {
    let set: JwkSet =
        serde_json::from_str(document).map_err(|error| JwtConfigError::Jwks(error.to_string()))?;
    Ok(set
        .keys
        .iter()
        .filter_map(|jwk| Key::from_jwk(jwk, allowed))
        .collect())
}

/// The claims if the signature is by `key`. Times are not checked here: the library would read its
/// own clock.
fn signed_claims(token: &[u8], algorithm: Algorithm, key: &Key) -> Option<Value> {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    let claims = jsonwebtoken::decode::<Document>(token, &key.key, &validation)
        .ok()?
        .claims;
    // RFC 7519 §4: claim names are unique. Of two, the app may read the other.
    (!claims.is_ambiguous).then_some(claims.value)
}

/// Seconds, as `NumericDate` counts them (RFC 7519 §2).
fn since_epoch(time: SystemTime) -> f64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => after.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}
