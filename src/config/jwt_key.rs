//! What verifies tokens, read from a text: of the config, of a file that may be replaced, or of an answer.

use std::fmt;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{AlgorithmFamily, DecodingKey};

use super::{JwksUrl, JwtKey, KeyForm, KeyOrigin};

/// RFC 7518 §3.2: a key at least as long as the hash of HS256.
const LEAST_SECRET: usize = 32;

/// Bytes of a key or of a JWKS document; some hundred keys.
pub const MAX_KEY_TEXT: usize = 256 << 10;

impl KeyForm {
    /// The families of algorithms that a key of this form may serve.
    pub(super) fn families(self) -> Vec<AlgorithmFamily> {
        match self {
            KeyForm::Secret => vec![AlgorithmFamily::Hmac],
            KeyForm::Pem | KeyForm::Jwks => vec![
                AlgorithmFamily::Rsa,
                AlgorithmFamily::Ec,
                AlgorithmFamily::Ed,
            ],
        }
    }
}

impl fmt::Display for KeyOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyOrigin::Config => f.write_str("config"),
            KeyOrigin::File(path) => path.display().fmt(f),
            KeyOrigin::Url(url) => url.fmt(f),
        }
    }
}

impl fmt::Display for JwksUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

/// What is wrong with a key, and what helps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {remedy}")]
pub struct KeyFault {
    /// Without the key itself.
    pub what: String,
    /// What to write instead.
    pub remedy: String,
}

impl KeyFault {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> KeyFault {
        KeyFault {
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

impl JwtKey {
    /// Reads a text that is a key of this form. A JWKS document may be without any key that is known.
    pub fn parse(form: KeyForm, text: Vec<u8>) -> Result<JwtKey, KeyFault> {
        if text.len() > MAX_KEY_TEXT {
            let what = format!("it has over {} KiB", MAX_KEY_TEXT >> 10);
            return Err(KeyFault::new(what, "name what holds the key alone"));
        }
        match form {
            KeyForm::Secret => parse_secret(text),
            KeyForm::Pem => parse_pem(text),
            KeyForm::Jwks => parse_jwks(text),
        }
    }

    /// Reads what a file holds; the line ends that editors put behind a secret are none of it.
    pub fn parse_file(form: KeyForm, mut text: Vec<u8>) -> Result<JwtKey, KeyFault> {
        if form == KeyForm::Secret {
            while text.pop_if(|last| matches!(last, b'\n' | b'\r')).is_some() {}
        }
        JwtKey::parse(form, text)
    }

    /// No key at all, so that no token is verified.
    pub fn none() -> JwtKey {
        JwtKey::Jwks("{\"keys\":[]}".to_owned())
    }

    /// The form it has.
    pub fn form(&self) -> KeyForm {
        match self {
            JwtKey::Secret(_) => KeyForm::Secret,
            JwtKey::Pem(_) => KeyForm::Pem,
            JwtKey::Jwks(_) => KeyForm::Jwks,
        }
    }

    /// The families of algorithms that it serves.
    pub(super) fn families(&self) -> Vec<AlgorithmFamily> {
        match self {
            JwtKey::Secret(_) => vec![AlgorithmFamily::Hmac],
            JwtKey::Pem(pem) => read_pem(pem).map(|key| key.family()).into_iter().collect(),
            JwtKey::Jwks(text) => families_of(text).unwrap_or_default(),
        }
    }
}

fn parse_secret(secret: Vec<u8>) -> Result<JwtKey, KeyFault> {
    if secret.len() < LEAST_SECRET {
        return Err(KeyFault::new(
            format!("it has {} bytes and can be guessed", secret.len()),
            format!("use at least {LEAST_SECRET} random bytes (RFC 7518, section 3.2)"),
        ));
    }
    Ok(JwtKey::Secret(secret))
}

fn parse_pem(pem: Vec<u8>) -> Result<JwtKey, KeyFault> {
    match read_pem(&pem) {
        Some(_) => Ok(JwtKey::Pem(pem)),
        None => Err(KeyFault::new(
            "it is not an RSA, EC or Ed25519 public key in PEM",
            "give the text from BEGIN PUBLIC KEY to END PUBLIC KEY",
        )),
    }
}

fn read_pem(pem: &[u8]) -> Option<DecodingKey> {
    DecodingKey::from_rsa_pem(pem)
        .or_else(|_| DecodingKey::from_ec_pem(pem))
        .or_else(|_| DecodingKey::from_ed_pem(pem))
        .ok()
}

fn parse_jwks(text: Vec<u8>) -> Result<JwtKey, KeyFault> {
    let text = String::from_utf8(text).ok();
    match text.map(|text| (families_of(&text), text)) {
        // A shared secret among public keys invites tokens signed with what everyone may read.
        Some((Some(families), text)) if !families.contains(&AlgorithmFamily::Hmac) => {
            Ok(JwtKey::Jwks(text))
        }
        _ => Err(not_public_keys()),
    }
}

/// Of a JWKS document that is to hold public keys.
pub(super) fn not_public_keys() -> KeyFault {
    KeyFault::new(
        "it is not a JWKS document of public keys",
        "give {\"keys\": [...]} with RSA, EC or OKP keys, or use secret",
    )
}

/// `None`: it is no JWKS document. Keys of unknown kinds are left out (RFC 7517 §5).
fn families_of(text: &str) -> Option<Vec<AlgorithmFamily>> {
    let set = serde_json::from_str::<JwkSet>(text).ok()?;
    let keys = set
        .keys
        .iter()
        .filter_map(|jwk| DecodingKey::from_jwk(jwk).ok());
    let mut families = Vec::new();
    for family in keys.map(|key| key.family()) {
        if !families.contains(&family) {
            families.push(family);
        }
    }
    Some(families)
}
