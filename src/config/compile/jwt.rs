//! `[jwt]`: the verifying key, checked to be of use with the accepted algorithms.

use std::path::PathBuf;

use jsonwebtoken::{Algorithm, AlgorithmFamily};

use super::Input;
use super::readable::{warn_of_readable, warn_of_readable_config};
use crate::config::fields::JWT_KEYS;
use crate::config::jwt_key::{KeyFault, not_public_keys};
use crate::config::problem::Problems;
use crate::config::read::Reader;
use crate::config::{Jwt, JwtKey, JwtSource, KeyForm, KeyOrigin};

/// The key that the table gives.
struct Given {
    form: KeyForm,
    /// `None`: it cannot be read, as has been reported.
    key: Option<JwtKey>,
    origin: KeyOrigin,
}

impl Given {
    /// The families of algorithms that the key serves now; without it those that its form may serve.
    fn families(&self) -> Vec<AlgorithmFamily> {
        self.key
            .as_ref()
            .map_or(self.form.families(), JwtKey::families)
    }
}

pub(super) fn read_jwt(input: &Input<'_>, problems: &mut Problems) -> Option<Jwt> {
    input.document.table("jwt")?;
    let mut reader = input.reader("jwt", problems);
    let source = read_source(&mut reader);
    let given = read_key(&mut reader, input);
    Some(Jwt {
        source,
        algorithms: read_algorithms(&mut reader, given.as_ref()),
        issuer: reader.text("issuer"),
        audience: reader.text("audience"),
        leeway: reader.duration("leeway"),
        key: given.as_ref()?.key.clone()?,
        origin: given?.origin,
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

fn read_key(reader: &mut Reader<'_>, input: &Input<'_>) -> Option<Given> {
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
    let form = match name {
        "secret" | "secret_file" => KeyForm::Secret,
        "public_key" | "public_key_file" => KeyForm::Pem,
        _ => KeyForm::Jwks,
    };
    if matches!(name, "secret" | "public_key") {
        if form == KeyForm::Secret {
            warn_of_readable_config(reader, name, input.file());
        }
        return Some(Given {
            form,
            key: check_key(reader, name, JwtKey::parse(form, text.into_bytes())),
            origin: KeyOrigin::Config,
        });
    }
    let path = input.path(&text);
    let text = read_file(reader, name, form, &path);
    Some(Given {
        form,
        key: text.and_then(|text| check_key(reader, name, JwtKey::parse_file(form, text))),
        origin: KeyOrigin::File(path),
    })
}

fn read_file(
    reader: &mut Reader<'_>,
    name: &str,
    form: KeyForm,
    path: &PathBuf,
) -> Option<Vec<u8>> {
    if form == KeyForm::Secret {
        warn_of_readable(reader, name, path, "the secret");
    }
    match std::fs::read(path) {
        Ok(text) => Some(text),
        Err(error) => {
            let what = format!("{} cannot be read ({error})", path.display());
            reader.reject(name, what, "write the path of a readable text file");
            None
        }
    }
}

fn check_key(reader: &mut Reader<'_>, name: &str, key: Result<JwtKey, KeyFault>) -> Option<JwtKey> {
    let key = key.and_then(|key| match key.families().is_empty() {
        true => Err(not_public_keys()),
        false => Ok(key),
    });
    key.map_err(|fault| reader.reject(name, fault.what, fault.remedy))
        .ok()
}

/// The accepted algorithms; by default all that the key serves, and of one that may be replaced all that its
/// successors may. One of another family would let a public key be used as a secret (RFC 8725 §2.1).
fn read_algorithms(reader: &mut Reader<'_>, given: Option<&Given>) -> Vec<String> {
    let served = given.map_or(Vec::new(), |given| names_of(&given.families()));
    if !reader.gives("algorithms") {
        return match given {
            Some(given) if given.origin != KeyOrigin::Config => names_of(&given.form.families()),
            _ => served,
        };
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

fn names_of(families: &[AlgorithmFamily]) -> Vec<String> {
    families
        .iter()
        .flat_map(AlgorithmFamily::algorithms)
        .map(|algorithm: &Algorithm| format!("{algorithm:?}"))
        .collect()
}
