//! Who signs tokens.

use std::time::SystemTime;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use pannier::clock;
use serde_json::{Value, json};

/// A key that signs, and its name.
pub(super) struct Issuer {
    kid: Option<String>,
    algorithm: Algorithm,
    key: EncodingKey,
    public_pem: String,
}

impl Issuer {
    /// With a new EC key of this name.
    pub(super) fn new(kid: &str) -> Issuer {
        let pair = rcgen::KeyPair::generate().expect("a key");
        Issuer {
            kid: Some(kid.to_owned()),
            algorithm: Algorithm::ES256,
            key: EncodingKey::from_ec_der(&pair.serialize_der()),
            public_pem: pair.public_key_pem(),
        }
    }

    pub(super) fn of_secret(secret: &str) -> Issuer {
        Issuer {
            kid: None,
            algorithm: Algorithm::HS256,
            key: EncodingKey::from_secret(secret.as_bytes()),
            public_pem: String::new(),
        }
    }

    pub(super) fn public_pem(&self) -> String {
        self.public_pem.clone()
    }

    /// A token of this person, good for an hour.
    pub(super) fn token(&self, sub: &str) -> String {
        self.sign(&json!({"sub": sub, "exp": now() + 3600}))
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        let header = Header {
            kid: self.kid.clone(),
            ..Header::new(self.algorithm)
        };
        encode(&header, claims, &self.key).expect("signed")
    }

    fn jwk(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.key, self.algorithm).expect("a JWK");
        let mut jwk = serde_json::to_value(jwk).expect("JSON");
        jwk["kid"] = json!(self.kid);
        jwk
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    let since = clock::wall().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

/// The JWKS document of these keys.
pub(super) fn key_set(issuers: &[&Issuer]) -> String {
    let keys: Vec<_> = issuers.iter().map(|issuer| issuer.jwk()).collect();
    json!({ "keys": keys }).to_string()
}
