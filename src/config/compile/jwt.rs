//! `[jwt]`: the verifying key, checked to be of use with the accepted algorithms.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};

use super::Input;
use super::readable::warn_of_readable_config;
use crate::config::fields::JWT_KEYS;
use crate::config::problem::Problems;
use crate::config::read::Reader;
use crate::config::{Jwt, JwtKey, JwtSource};

/// RFC 7518 §3.2: a key at least as long as the hash of HS256.
const LEAST_SECRET: usize = 32;

pub(super) fn read_jwt(input: &Input<'_>, problems: &mut Problems) -> Option<Jwt> {
    input.document.table("jwt")?;
    let mut reader = input.reader("jwt", problems);
    let source = read_source(&mut reader);
    let key = read_key(&mut reader, input);
    let families = key
        .as_ref()
        .map_or(Vec::new(), |(_, families)| families.clone());
    Some(Jwt {
        source,
        algorithms: read_algorithms(&mut reader, &families),
        issuer: reader.text("issuer"),
        audience: reader.text("audience"),
        leeway: reader.duration("leeway"),
        key: key?.0,
    })
}

fn read_source(reader: &mut Reader<'_>) -> JwtSource {
    let cookie = reader.text("cookie");
    match (reader.word("source").as_str(), cookie) {
        ("cookie", Some(name)) => {
            // RFC 6265 §4.1.1: a cookie's name is a token.
            if name.contains(|c: char| !c.is_ascii_graphic() || "()<>@,;:\\\"/[]?={}".contains(c)) {
                reader.reject(
                    "cookie",
                    format!("\"{name}\" cannot be a cookie's name"),
                    "write such as \"session\"",
                );
            }
            JwtSource::Cookie(name)
        }
        ("cookie", None) => {
            reader.reject("source", "which cookie is missing", "add cookie = \"name\"");
            JwtSource::Authorization
        }
        (_, Some(_)) => {
            reader.reject(
                "cookie",
                "the token is not read from a cookie",
                "add source = \"cookie\", or leave cookie out",
            );
            JwtSource::Authorization
        }
        (_, None) => JwtSource::Authorization,
    }
}

/// The key and the families of algorithms it serves.
fn read_key(reader: &mut Reader<'_>, input: &Input<'_>) -> Option<(JwtKey, Vec<AlgorithmFamily>)> {
    let given: Vec<&str> = JWT_KEYS
        .iter()
        .copied()
        .filter(|key| reader.gives(key))
        .collect();
    let [name] = given[..] else {
        let what = match given.len() {
            0 => "the key is missing".to_owned(),
            _ => format!("{} are given at once", given.join(" and ")),
        };
        let key = given.last().copied().unwrap_or("secret");
        reader.reject(
            key,
            what,
            format!("give exactly one of {}", JWT_KEYS.join(", ")),
        );
        return None;
    };
    let text = reader.required(name, "write its value, or leave the line out")?;
    match name {
        "secret" => {
            warn_of_readable_config(reader, name, input.file());
            Some(take_secret(reader, text))
        }
        "public_key" => parse_pem(reader, name, text.into_bytes()),
        "public_key_file" => {
            let text = read_file(reader, name, input, &text)?;
            parse_pem(reader, name, text.into_bytes())
        }
        _ => {
            let text = read_file(reader, name, input, &text)?;
            parse_jwks(reader, text)
        }
    }
}

fn take_secret(reader: &mut Reader<'_>, secret: String) -> (JwtKey, Vec<AlgorithmFamily>) {
    if secret.len() < LEAST_SECRET {
        let what = format!("it has {} bytes and can be guessed", secret.len());
        reader.reject(
            "secret",
            what,
            format!("use at least {LEAST_SECRET} random bytes (RFC 7518, section 3.2)"),
        );
    }
    (
        JwtKey::Secret(secret.into_bytes()),
        vec![AlgorithmFamily::Hmac],
    )
}

fn read_file(reader: &mut Reader<'_>, key: &str, input: &Input<'_>, path: &str) -> Option<String> {
    let path = input.path(path);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            let what = format!("{} cannot be read ({error})", path.display());
            reader.reject(key, what, "write the path of a readable text file");
            None
        }
    }
}

fn parse_pem(
    reader: &mut Reader<'_>,
    key: &str,
    pem: Vec<u8>,
) -> Option<(JwtKey, Vec<AlgorithmFamily>)> {
    let family = DecodingKey::from_rsa_pem(&pem)
        .or_else(|_| DecodingKey::from_ec_pem(&pem))
        .or_else(|_| DecodingKey::from_ed_pem(&pem))
        .map(|key| key.family());
    match family {
        Ok(family) => Some((JwtKey::Pem(pem), vec![family])),
        Err(_) => {
            reader.reject(
                key,
                "it is not an RSA, EC or Ed25519 public key in PEM",
                "give the text from BEGIN PUBLIC KEY to END PUBLIC KEY",
            );
            None
        }
    }
}

fn parse_jwks(reader: &mut Reader<'_>, text: String) -> Option<(JwtKey, Vec<AlgorithmFamily>)> {
    let keys = serde_json::from_str::<JwkSet>(&text)
        .map(|set| set.keys)
        .unwrap_or_default();
    let mut families = Vec::new();
    for key in keys
        .iter()
        .filter_map(|jwk| DecodingKey::from_jwk(jwk).ok())
    {
        if !families.contains(&key.family()) {
            families.push(key.family());
        }
    }
    // A shared secret among public keys invites tokens signed with what everyone may read.
    if families.is_empty() || families.contains(&AlgorithmFamily::Hmac) {
        reader.reject(
            "jwks_file",
            "it is not a JWKS document of public keys",
            "give {\"keys\": [...]} with RSA, EC or OKP keys, or use secret",
        );
        return None;
    }
    Some((JwtKey::Jwks(text), families))
}

/// The accepted algorithms; by default all that the key serves. One of another family would let a
/// public key be used as a secret (RFC 8725 §2.1).
fn read_algorithms(reader: &mut Reader<'_>, families: &[AlgorithmFamily]) -> Vec<String> {
    let served: Vec<String> = families
        .iter()
        .flat_map(AlgorithmFamily::algorithms)
        .map(|algorithm: &Algorithm| format!("{algorithm:?}"))
        .collect();
    if !reader.gives("algorithms") {
        return served;
    }
    let chosen = reader.texts("algorithms");
    if chosen.is_empty() && reader.is_clean() {
        reader.reject(
            "algorithms",
            "no token could be accepted",
            "name one, or leave the line out",
        );
    }
    for (position, name) in &chosen {
        if !served.is_empty() && !served.contains(name) {
            let what = format!("{name} does not go with this key");
            let remedy = format!("write of {}, or leave the line out", served.join(", "));
            reader.reject_at(position.clone(), "algorithms", what, remedy);
        }
    }
    chosen.into_iter().map(|(_, name)| name).collect()
}
