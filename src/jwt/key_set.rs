//! The keys in force at one time.

use std::sync::atomic::{AtomicBool, Ordering};

use jsonwebtoken::jwk::{Jwk, JwkSet, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Header, Validation};
use serde_json::Value;

use super::JwtConfigError;
use super::decisions::Decisions;
use crate::config::JwtKey;
use crate::routes::json::Document;

/// Keys that were made of one text. A change makes another set, so that nothing learnt by the old keys is left.
#[derive(Debug)]
pub(super) struct KeySet {
    made_of: JwtKey,
    keys: Vec<Key>,
    /// What they have signed.
    pub(super) decisions: Decisions,
    /// Whether a token named a key that is not among them.
    missed: AtomicBool,
}

/// A key and the only algorithms it is used with: a public key must never verify an HMAC
/// (RFC 8725 §3.1).
#[derive(Clone, Debug)]
struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl KeySet {
    pub(super) fn new(made_of: &JwtKey, allowed: &[Algorithm]) -> Result<KeySet, JwtConfigError> {
        let keys = match made_of {
            JwtKey::Secret(secret) if secret.is_empty() => return Err(JwtConfigError::EmptySecret),
            JwtKey::Secret(secret) => vec![Key::new(DecodingKey::from_secret(secret), allowed)],
            JwtKey::Pem(pem) => vec![Key::new(public_key(pem)?, allowed)],
            JwtKey::Jwks(document) => key_set(document, allowed)?,
        };
        Ok(KeySet {
            made_of: made_of.clone(),
            keys,
            decisions: Decisions::default(),
            missed: AtomicBool::new(false),
        })
    }

    /// Whether a token has named a key that is not among them since this was asked last.
    pub(super) fn take_missed(&self) -> bool {
        self.missed.swap(false, Ordering::Relaxed)
    }

    /// The text that they were made of.
    pub(super) fn made_of(&self) -> &JwtKey {
        &self.made_of
    }

    /// How many keys are for an allowed algorithm.
    pub(super) fn count_useful(&self) -> usize {
        let useful = self.keys.iter().filter(|key| !key.algorithms.is_empty());
        useful.count()
    }

    /// The claims of a token that one of the keys has signed, whatever they say.
    pub(super) fn find_claims(&self, token: &[u8]) -> Option<Value> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        // RFC 7515 §4.1.11: what is critical and not understood makes the token invalid.
        if header.crit.is_some() {
            return None;
        }
        self.candidates(&header)
            .find_map(|key| signed_claims(token, header.alg, key))
    }

    /// The key the token names, else all that its algorithm fits.
    fn candidates(&self, header: &Header) -> impl Iterator<Item = &Key> {
        let named = |key: &&Key| header.kid.is_some() && key.id == header.kid;
        let is_named = self.keys.iter().any(|key| named(&key));
        if header.kid.is_some() && !is_named {
            self.missed.store(true, Ordering::Relaxed);
        }
        self.keys
            .iter()
            .filter(move |key| !is_named || named(key))
            .filter(|key| key.algorithms.contains(&header.alg))
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
