//! Fields with which the scripts of a page ask for a part of it, or for its data, at the page's own URL: an app that
//! forgets to say so by `Vary` would have a fragment stored for the page. So do fields that choose among a site's parts,
//! which public pages are asked for with. They keep nothing from the store, and select among the stored answers.

use http::HeaderMap;
use sha2::{Digest, Sha256};

use super::override_names::has_odd_sign;
use crate::routes::KeyedCredentials;

/// Bytes of a value that stand in a selector as they are.
const SHORT: usize = 32;

/// Whether the field of this name (in lower case) is one, or some apps read it as one.
pub(super) fn is_switch(name: &str) -> bool {
    let is_sign = |letter: char| !letter.is_ascii_alphanumeric();
    match has_odd_sign(name) {
        true => is_known(&name.replace(is_sign, "-")),
        false => is_known(name),
    }
}

fn is_known(name: &str) -> bool {
    const BEGINNINGS: [&str; 16] = [
        "datastar-",
        "hx-",
        "next-",
        "x-alpine-",
        "x-inertia",
        "x-livewire",
        "x-next-",
        "x-nextjs-",
        "x-pjax",
        "x-prerender-",
        "x-remix-",
        "x-spf-",
        "x-sveltekit-",
        "x-turbo-",
        "x-up-",
        "x-vercel-sc-",
    ];
    let is_whole = matches!(
        name,
        "accept-profile"
            | "purpose"
            | "rsc"
            | "sec-purpose"
            | "transfer-format"
            | "turbo-frame"
            | "x-action"
            | "x-ajax"
            | "x-backend-server"
            | "x-branch-id"
            | "x-barba"
            | "x-business-id"
            | "x-capabilities"
            | "x-client"
            | "x-client-verify"
            | "x-database"
            | "x-db"
            | "x-debug"
            | "x-department"
            | "x-division"
            | "x-format"
            | "x-fragment"
            | "x-institution-id"
            | "x-isr"
            | "x-level"
            | "x-moz"
            | "x-namespace"
            | "x-partial"
            | "x-preview"
            | "x-project-id"
            | "x-purpose"
            | "x-realm"
            | "x-requested-by"
            | "x-requested-with"
            | "x-rewrite"
            | "x-route"
            | "x-schema"
            | "x-school-id"
            | "x-shop-id"
            | "x-site"
            | "x-site-id"
            | "x-ssl-client-verify"
            | "x-store"
            | "x-store-id"
            | "x-sub-request"
            | "x-swup"
    );
    is_whole
        || BEGINNINGS
            .iter()
            .any(|beginning| name.starts_with(beginning))
}

/// Adds a line for each such field to `selector`, but for those in the key. Where the rule's `vary` says which fields count,
/// no others do.
pub(super) fn push_switches(
    selector: &mut String,
    fields: &HeaderMap,
    keyed: &KeyedCredentials,
    only: Option<&[http::HeaderName]>,
) {
    let mut switches: Vec<_> = fields
        .iter()
        .filter(|(name, _)| is_switch(name.as_str()) && !keyed.has_header(name))
        .filter(|(name, _)| only.is_none_or(|only| only.contains(name)))
        .collect();
    // In one order, whatever the client's; lines of one name stay in theirs.
    switches.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
    for (name, value) in switches {
        selector.push('\n');
        selector.push_str(name.as_str());
        selector.push('=');
        let value = value.as_bytes();
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._/, ".contains(byte);
        match std::str::from_utf8(value) {
            Ok(text) if value.len() <= SHORT && value.iter().all(is_plain) => {
                selector.push_str(text)
            }
            // `#`, so that none is taken for a value.
            _ => selector.push_str(&format!("#{:x}", Sha256::digest(value))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_switches_and_of_others() {
        for name in [
            "rsc",
            "next-url",
            "hx-request",
            "hx-boosted",
            "x-inertia",
            "x-inertia-version",
            "x-pjax-container",
            "turbo-frame",
            "x-requested-with",
            "x-up-target",
            "sec-purpose",
            "x-store-id",
        ] {
            assert!(is_switch(name), "{name}");
        }
        for name in [
            "accept",
            "x-request-id",
            "sec-fetch-dest",
            "x-real-ip",
            "x-forwarded-for",
            "traceparent",
            "cf-ipcountry",
        ] {
            assert!(!is_switch(name), "{name}");
        }
    }
}
