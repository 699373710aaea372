//! How Pannier is let in: user, password, certificates.

use super::servers::Found;
use crate::config::compile::Input;
use crate::config::compile::readable::{warn_of_readable, warn_of_readable_config};
use crate::config::compile::tls::{check_for_client, read_key_pair};
use crate::config::compile::upstream::read_ca_file;
use crate::config::read::Reader;
use crate::config::{ClientCertificate, RedisAccess, RedisLogin, RedisPassword, RedisTls};

/// The keys of one login: user, password, the password's file.
type LoginKeys = [&'static str; 3];

const LOGIN: LoginKeys = ["user", "password", "password_file"];
const SENTINEL_LOGIN: LoginKeys = [
    "sentinel_user",
    "sentinel_password",
    "sentinel_password_file",
];

/// `found` says where Redis is, if that could be read.
pub(super) fn read_access(
    reader: &mut Reader<'_>,
    input: &Input<'_>,
    found: Option<&Found>,
) -> RedisAccess {
    let of_url = found.map(|found| &found.login).cloned().unwrap_or_default();
    if of_url.password.is_some() {
        warn_of_readable_config(reader, "url", input.file());
    }
    let own = read_login(reader, input, LOGIN);
    for key in LOGIN {
        if reader.gives(key) && of_url != RedisLogin::default() {
            let remedy = format!("leave it out of url, or leave {key} out");
            reader.reject(key, "url has a login of its own", remedy);
        }
    }
    let is_own = own != RedisLogin::default();
    let of_url_sentinel = found.map(|found| &found.sentinel_login);
    let own_sentinel = read_login(reader, input, SENTINEL_LOGIN);
    RedisAccess {
        login: if is_own { own } else { of_url },
        sentinel_login: match of_url_sentinel {
            Some(found) if found.password.is_some() => found.clone(),
            _ => own_sentinel,
        },
        tls: read_tls(reader, input, found),
    }
}

fn read_login(reader: &mut Reader<'_>, input: &Input<'_>, keys: LoginKeys) -> RedisLogin {
    let [user_key, text_key, file_key] = keys;
    let user = reader.text(user_key);
    let text = reader.text(text_key);
    let file = reader.text(file_key).map(|path| input.path(&path));
    if text.is_some() && file.is_some() {
        let what = format!("{text_key} and {file_key} are given at once");
        reader.reject(
            file_key,
            what,
            format!("give exactly one of {text_key}, {file_key}"),
        );
    }
    if text.is_some() {
        warn_of_readable_config(reader, text_key, input.file());
    }
    if user.is_some() && !reader.gives(text_key) && !reader.gives(file_key) {
        let remedy = format!("add {text_key} or {file_key}, or leave {user_key} out");
        reader.reject(user_key, "Redis lets no user in without a password", remedy);
    }
    let password = match file {
        None => text.map(RedisPassword::Text),
        Some(path) => {
            warn_of_readable(reader, file_key, &path, "the password");
            let shown = path.display().to_string();
            let password = RedisPassword::File(path);
            check_file(reader, file_key, &password, &shown);
            Some(password)
        }
    };
    RedisLogin { user, password }
}

fn check_file(reader: &mut Reader<'_>, key: &str, password: &RedisPassword, shown: &str) {
    let what = match password.read() {
        Ok(text) if text.is_empty() => format!("{shown} is empty"),
        Ok(_) => return,
        Err(error) => format!("{shown} cannot be read ({error})"),
    };
    reader.reject(
        key,
        what,
        "write the path of a text file that holds the password alone",
    );
}

fn read_tls(reader: &mut Reader<'_>, input: &Input<'_>, found: Option<&Found>) -> Option<RedisTls> {
    let ca_file = read_ca_file(reader, input, "ca_file");
    let pair = read_key_pair(reader, input, ["cert_file", "key_file"]);
    if let Some(pair) = &pair {
        check_for_client(reader, pair);
    }
    let found = found?;
    if !found.is_tls {
        let (what, turn_on) = match found.key {
            "url" => ("url does not use TLS", "write rediss:// in url"),
            _ => ("TLS is off", "add tls = true"),
        };
        for key in ["ca_file", "cert_file", "key_file"] {
            if reader.gives(key) {
                reader.reject(key, what, format!("{turn_on}, or leave {key} out"));
            }
        }
        return None;
    }
    Some(RedisTls {
        ca_file,
        client: pair.map(|pair| ClientCertificate {
            ends: pair.ends(),
            cert_file: pair.cert,
            key_file: pair.key,
        }),
    })
}
