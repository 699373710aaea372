//! The names of fields by which gateways and frameworks take a request for another one than its request
//! line says (reliability.md K4): one list, which all who ask use.

/// What such a field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Override {
    /// Another target, method or answer than the request line's: with it a request passes.
    Always,
    /// What gateways tell the app of themselves with every request: with it a request passes unless one is trusted.
    Told,
    /// The host that a gateway was asked for.
    Host,
    /// The scheme by which it was asked.
    Scheme,
    /// The same, as networks in front say it with every request: in the selector, whoever says it.
    SchemeOfNetwork,
    /// Whether that was TLS: `on` or `off`.
    Tls,
    /// The port on which it was asked.
    Port,
    /// Pairs, of which `host` and `proto` count (RFC 7239).
    Forwarded,
}

/// Whether the name has a sign other than `-`: what CGI, FastCGI and WSGI apps are told is `_` for every byte that is no
/// letter and no digit, so that `X_Forwarded_Host` and `X.Forwarded.Host` are `X-Forwarded-Host` to them.
pub(super) fn has_odd_sign(name: &str) -> bool {
    name.bytes()
        .any(|byte| byte != b'-' && !byte.is_ascii_alphanumeric())
}

/// What the field of this name (in lower case) overrides; `None`: nothing that is known of. Names with
/// underscores and other signs are read as those with `-`, as such apps do.
pub(super) fn kind_of(name: &str) -> Option<Override> {
    if !has_odd_sign(name) {
        return kind(name);
    }
    let is_sign = |letter: char| !letter.is_ascii_alphanumeric();
    match name.replace(is_sign, "-").as_str() {
        "x-forwarded-proto" => Some(Override::Scheme),
        name => kind(name),
    }
}

fn kind(name: &str) -> Option<Override> {
    let Some(rest) = name.strip_prefix("x-") else {
        return of_no_family(name);
    };
    match rest {
        // Of each request, and in the selector.
        "forwarded-proto" => None,
        // Of the client, not of what it asks for.
        "remote-host" | "client-host" | "peer-host" | "real-port" => None,
        "forwarded-server" | "original-server" | "forwarded-origin" | "host-override"
        | "http-host-override" => Some(Override::Host),
        "ssl" | "tls" | "https" | "secure" | "forwarded-ssl" | "forwarded-tls"
        | "forwarded-https" | "forwarded-secure" | "arr-ssl" | "ssl-offloaded" => {
            Some(Override::Tls)
        }
        "forwarded-prefix" => Some(Override::Told),
        "forwarded-proto-version" | "client-scheme" | "client-proto" => Some(Override::Scheme),
        "appengine-https" => Some(Override::Tls),
        _ if is_always(rest) => Some(Override::Always),
        _ => by_last_word(rest),
    }
}

/// What is overridden is named last: `original-url`, `forwarded-host`.
fn by_last_word(rest: &str) -> Option<Override> {
    let (before, last) = rest.rsplit_once('-').unwrap_or(("", rest));
    match last {
        "url" | "uri" | "path" | "pathbase" | "prefix" | "method" | "verb" | "override" => {
            Some(Override::Always)
        }
        "host" | "hostname" | "authority" | "domain" => Some(Override::Host),
        "scheme" | "proto" | "protocol" if before.is_empty() || OF_GATEWAYS.contains(&before) => {
            Some(Override::Scheme)
        }
        "port" if OF_GATEWAYS.contains(&before) => Some(Override::Port),
        _ => None,
    }
}

/// Words before those that some other fields end with as well.
const OF_GATEWAYS: &[&str] = &[
    "external",
    "forward",
    "forwarded",
    "http",
    "orig",
    "original",
    "public",
    "real",
    "request",
    "server",
    "url",
];

fn of_no_family(name: &str) -> Option<Override> {
    Some(match name {
        "forwarded" => Override::Forwarded,
        "front-end-https" | "ssl-offloaded" | "wl-proxy-ssl" => Override::Tls,
        "cloudfront-forwarded-proto" | "forwarded-proto" => Override::Scheme,
        "cf-visitor" | "fastly-ssl" => Override::SchemeOfNetwork,
        "surrogate-capability" => Override::Told,
        "disguised-host" | "host-override" | "http-host" => Override::Host,
        "base-url"
        | "destination"
        | "http-method-override"
        | "method-override"
        | "path-info"
        | "path-translated"
        | "redirect"
        | "redirect-url"
        | "request-method"
        | "request-uri"
        | "script-name"
        | "script-url"
        | "uri"
        | "url" => Override::Always,
        _ => return None,
    })
}

/// Names of the one large family that their last word does not tell of; `x-` is taken off.
fn is_always(rest: &str) -> bool {
    const BEGINNINGS: [&str; 6] = [
        "astro-",
        "invoke-",
        "middleware-",
        "nitro-",
        "override-",
        "react-router-",
    ];
    matches!(
        rest,
        "accel-mapping"
            | "accel-redirect"
            | "custom-ip-authorization"
            | "destination"
            | "error-page"
            | "forwarded"
            | "forwarded-base"
            | "forwarded-context"
            | "forwarded-location"
            | "forwarded-path-base"
            | "forwarded-query"
            | "forwarded-query-string"
            | "forwarded-root"
            | "forwarded-script-name"
            | "http-destinationurl"
            | "nextjs-data"
            | "now-route-matches"
            | "nuxt-no-ssr"
            | "original-query"
            | "original-request"
            | "path-info"
            | "query-string"
            | "script-name"
            | "sendfile-type"
            | "subpath"
            | "wap-profile"
    ) || BEGINNINGS
        .iter()
        .any(|beginning| rest.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_what_they_override() {
        let rows = [
            ("x-original-url", Some(Override::Always)),
            ("X_Original_Url", None),
            ("x_original_url", Some(Override::Always)),
            ("x_forwarded_host", Some(Override::Host)),
            ("x-original-host", Some(Override::Host)),
            ("x-http-host-override", Some(Override::Host)),
            ("x-forwarded-server", Some(Override::Host)),
            ("x-forwarded-protocol", Some(Override::Scheme)),
            ("x-url-scheme", Some(Override::Scheme)),
            ("x-scheme", Some(Override::Scheme)),
            ("front-end-https", Some(Override::Tls)),
            ("x-forwarded-port", Some(Override::Port)),
            ("forwarded", Some(Override::Forwarded)),
            ("x-envoy-original-path", Some(Override::Always)),
            ("x-now-route-matches", Some(Override::Always)),
            ("x-middleware-prefetch", Some(Override::Always)),
            ("x-invoke-path", Some(Override::Always)),
            ("script_name", Some(Override::Always)),
            ("x_forwarded_proto", Some(Override::Scheme)),
            ("x.forwarded.proto", Some(Override::Scheme)),
            ("x.forwarded.host", Some(Override::Host)),
            ("x-forwarded.host", Some(Override::Host)),
            ("x!original~url", Some(Override::Always)),
            ("x-real-url", Some(Override::Always)),
            ("x-http-verb", Some(Override::Always)),
            ("x-react-router-spa-mode", Some(Override::Always)),
            ("wl-proxy-ssl", Some(Override::Tls)),
            ("surrogate-capability", Some(Override::Told)),
            ("x-forwarded-prefix", Some(Override::Told)),
            ("x-sendfile-type", Some(Override::Always)),
            ("x-accel-mapping", Some(Override::Always)),
            ("x-nuxt-no-ssr", Some(Override::Always)),
            ("x-nextjs-data", Some(Override::Always)),
            ("cf-visitor", Some(Override::SchemeOfNetwork)),
            ("fastly-ssl", Some(Override::SchemeOfNetwork)),
            ("x-appengine-https", Some(Override::Tls)),
            ("forwarded-proto", Some(Override::Scheme)),
            ("x-client-scheme", Some(Override::Scheme)),
            ("x-client-proto", Some(Override::Scheme)),
            ("x-forwarded", Some(Override::Always)),
            ("x-ssl-protocol", None),
            ("x-real-port", None),
            ("x-remote-host", None),
            ("x-forwarded-for", None),
            ("x-forwarded-proto", None),
            ("x-real-ip", None),
            ("x-request-id", None),
            ("accept", None),
            ("host", None),
        ];
        for (name, expected) in rows {
            assert_eq!(kind_of(name), expected, "{name}");
        }
    }
}
