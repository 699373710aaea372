//! `[jwt]`: the verifying key, checked to be of use with the accepted algorithms.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE};
use jsonwebtoken::{Algorithm, AlgorithmFamily};

use super::Input;
use super::readable::{warn_of_readable, warn_of_readable_config};
use super::remote_url::{UrlFault, parse_url};
use super::upstream::read_ca_file;
use crate::config::fields::JWT_KEYS;
use crate::config::jwt_key::{KeyFault, not_public_keys};
use crate::config::problem::Problems;
use crate::config::read::Reader;
use crate::config::{JwksUrl, Jwt, JwtKey, JwtSource, KeyForm, KeyOrigin, RemoteUrl, Target};

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
        let served = self.key.as_ref().map(JwtKey::families);
        let served = served.filter(|families| !families.is_empty());
        served.unwrap_or(self.form.families())
    }
}

pub(super) fn read_jwt(input: &Input<'_>, problems: &mut Problems) -> Option<Jwt> {
    input.document.table("jwt")?;
    let mut reader = input.reader("jwt", problems);
    let source = read_source(&mut reader);
    let given = read_key(&mut reader, input);
    refuse_idle_keys(&mut reader, input);
    Some(Jwt {
        source,
        algorithms: read_algorithms(&mut reader, given.as_ref()),
        issuer: reader.text("issuer"),
        audience: reader
            .texts("audience")
            .into_iter()
            .map(|(_, text)| text)
            .collect(),
        leeway: reader.duration("leeway"),
        key: given.as_ref()?.key.clone()?,
        origin: given?.origin,
    })
}

fn read_source(reader: &mut Reader<'_>) -> JwtSource {
    let (cookie, header) = (read_cookie(reader), read_header(reader));
    let source = reader.word("source");
    for (key, what) in [("cookie", "a cookie"), ("header", "a field of one's own")] {
        if reader.gives(key) && source != key {
            let remedy = format!("add source = \"{key}\", or leave {key} out");
            reader.reject(key, format!("the token is not read from {what}"), remedy);
        }
    }
    match (source.as_str(), cookie, header) {
        ("cookie", Some(name), _) => JwtSource::Cookie(name),
        ("header", _, Some(name)) => JwtSource::Header(name),
        ("cookie" | "header", ..) if !reader.gives(&source) => {
            let (what, remedy) = (
                format!("which {source} is missing"),
                format!("add {source} = \"name\""),
            );
            reader.reject("source", what, remedy);
            JwtSource::Authorization
        }
        _ => JwtSource::Authorization,
    }
}

fn read_cookie(reader: &mut Reader<'_>) -> Option<String> {
    let name = reader.text("cookie")?;
    // RFC 6265 §4.1.1: a cookie's name is a token.
    if name.contains(|c: char| !c.is_ascii_graphic() || "()<>@,;:\\\"/[]?={}".contains(c)) {
        reader.reject(
            "cookie",
            format!("\"{name}\" cannot be a cookie's name"),
            "write such as \"session\"",
        );
    }
    Some(name)
}

fn read_header(reader: &mut Reader<'_>) -> Option<HeaderName> {
    let text = reader.text("header")?;
    let (what, remedy) = match text.parse::<HeaderName>() {
        Ok(AUTHORIZATION) => (
            "it has a source of its own",
            "write source = \"authorization\"",
        ),
        Ok(COOKIE) => (
            "it holds many",
            "write source = \"cookie\" and cookie = \"name\"",
        ),
        Ok(name) => return Some(name),
        Err(_) => (
            "it is not the name of a header field",
            "write such as \"x-id-token\"",
        ),
    };
    reader.reject("header", what, remedy);
    None
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
    if name == "jwks_url" {
        return Some(Given {
            form,
            key: Some(JwtKey::none()),
            origin: KeyOrigin::Url(read_jwks_url(reader, input, &text)?),
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

fn read_jwks_url(reader: &mut Reader<'_>, input: &Input<'_>, text: &str) -> Option<JwksUrl> {
    let url = parse_jwks_url(text);
    let url = url.map_err(|(what, remedy)| reader.reject("jwks_url", what, remedy));
    let (ca_file, stale) = read_fetching(reader, input);
    let url = url.ok()?;
    if ca_file.is_some() && matches!(url.target, Target::Http(_)) {
        reader.reject(
            "jwks_ca_file",
            "http needs no certificate authorities",
            "write https:// in jwks_url, or leave jwks_ca_file out",
        );
    }
    Some(JwksUrl {
        url: RemoteUrl { ca_file, ..url },
        stale,
        least: Duration::from_secs(30),
    })
}

/// How a URL is fetched.
fn read_fetching(reader: &mut Reader<'_>, input: &Input<'_>) -> (Option<PathBuf>, Duration) {
    (
        read_ca_file(reader, input, "jwks_ca_file"),
        reader.duration("jwks_stale"),
    )
}

/// The URL, or what is wrong and what to write.
fn parse_jwks_url(text: &str) -> Result<RemoteUrl, UrlFault> {
    let url = parse_url(text, "https://login.example.com/.well-known/jwks.json")?;
    match &url.target {
        // Who can change the keys on their way can sign tokens of anyone.
        Target::Http(authority) if !is_loopback(authority.host()) => Err((
            "keys that come over plain http may be anyone's".to_owned(),
            "write https://; http:// is for this machine alone".to_owned(),
        )),
        _ => Ok(url),
    }
}

fn is_loopback(host: &str) -> bool {
    let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
    ip.map_or(host.eq_ignore_ascii_case("localhost"), |ip| {
        ip.is_loopback()
    })
}

/// What says how a URL is fetched says nothing without one.
fn refuse_idle_keys(reader: &mut Reader<'_>, input: &Input<'_>) {
    if reader.gives("jwks_url") {
        return;
    }
    read_fetching(reader, input);
    for key in ["jwks_stale", "jwks_ca_file"] {
        if reader.gives(key) {
            let remedy = format!("add jwks_url, or leave {key} out");
            reader.reject(key, "no keys are fetched", remedy);
        }
    }
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
