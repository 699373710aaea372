//! The names of fields by which gateways and frameworks take a request for another one than its request
//! line says (reliability.md K4): one list, which all who ask use.

/// What such a field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Override {
    /// Another target, method or answer than the request line's: with it a request passes.
    Always,
    /// The host that a gateway was asked for.
    Host,
    /// The scheme by which it was asked.
    Scheme,
    /// Whether that was TLS: `on` or `off`.
    Tls,
    /// The port on which it was asked.
    Port,
    /// Pairs, of which `host` and `proto` count (RFC 7239).
    Forwarded,
}

/// What the field of this name (in lower case) overrides; `None`: nothing that is known of. Names with
/// underscores are read as those with `-`, as CGI and WSGI apps do.
pub(super) fn kind_of(name: &str) -> Option<Override> {
    if name.contains('_') {
        return kind(&name.replace('_', "-"));
    }
    kind(name)
}

fn kind(name: &str) -> Option<Override> {
    // Most are of none of these families.
    if !name.starts_with("x-") && !name.starts_with("fro") && !name.starts_with("for") {
        return OTHERS.contains(&name).then_some(Override::Always);
    }
    match name {
        "x-forwarded-host"
        | "x-host"
        | "x-original-host"
        | "x-http-host-override"
        | "x-host-override"
        | "x-forwarded-server"
        | "x-forwarded-hostname"
        | "x-original-forwarded-host"
        | "x-envoy-original-host"
        | "x-forwarded-authority" => Some(Override::Host),
        "x-forwarded-scheme"
        | "x-forwarded-protocol"
        | "x-url-scheme"
        | "x-scheme"
        | "x-original-proto"
        | "x-original-scheme"
        | "x-forwarded-proto-version" => Some(Override::Scheme),
        "x-forwarded-ssl" | "x-forwarded-https" | "x-https" | "front-end-https" | "x-arr-ssl" => {
            Some(Override::Tls)
        }
        "x-forwarded-port" | "x-original-port" => Some(Override::Port),
        "forwarded" => Some(Override::Forwarded),
        _ => is_always(name).then_some(Override::Always),
    }
}

/// Names outside of the families above.
const OTHERS: &[&str] = &[
    "base-url",
    "destination",
    "http-host",
    "path-info",
    "path-translated",
    "redirect",
    "request-uri",
    "script-name",
    "script-url",
    "uri",
    "url",
];

fn is_always(name: &str) -> bool {
    matches!(
        name,
        "x-original-url"
            | "x-original-uri"
            | "x-original-path"
            | "x-original-method"
            | "x-rewrite-url"
            | "x-rewrite-uri"
            | "x-rewrite-path"
            | "x-rewrite-original-url"
            | "x-http-method-override"
            | "x-http-method"
            | "x-method-override"
            | "x-method"
            | "x-forwarded-prefix"
            | "x-forwarded-path"
            | "x-forwarded-pathbase"
            | "x-forwarded-path-base"
            | "x-forwarded-uri"
            | "x-forwarded-url"
            | "x-forwarded-method"
            | "x-forwarded-query"
            | "x-forwarded-context"
            | "x-forwarded-base"
            | "x-forwarded-root"
            | "x-replaced-path"
            | "x-script-name"
            | "x-base-path"
            | "x-base-url"
            | "x-path"
            | "x-path-info"
            | "x-uri"
            | "x-url"
            | "x-request-uri"
            | "x-request-url"
            | "x-http-destinationurl"
            | "x-http-path-override"
            | "x-http-url-override"
            | "x-proxy-url"
            | "x-destination-url"
            | "x-envoy-original-path"
            | "x-envoy-original-method"
            | "x-matched-path"
            | "x-now-route-matches"
            | "x-nextjs-matched-path"
            | "x-wap-profile"
            | "x-custom-ip-authorization"
            | "x-error-page"
            | "x-http-status-code-override"
    ) || name.starts_with("x-middleware-")
        || name.starts_with("x-invoke-")
        || name.starts_with("x-override-")
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
