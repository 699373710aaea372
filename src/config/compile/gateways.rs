//! `[listen] trusted_proxies` and what goes with it: who may say what a client asked for.

use crate::config::read::Reader;
use crate::config::{Network, Networks, UntrustedForwarded};

pub(super) fn read_trusted_proxies(reader: &mut Reader<'_>) -> Networks {
    const KEY: &str = "trusted_proxies";
    let mut networks = Vec::new();
    for (position, text) in reader.texts(KEY) {
        match text.parse::<Network>() {
            Ok(network) => networks.push(network),
            Err(()) if text == "unix" => reader.warn(
                KEY,
                "\"unix\" names nobody: listen.proxy is an address and a port, so nobody comes by a unix socket",
                "leave it out, and name the gateway's address, such as \"127.0.0.1\"",
            ),
            Err(()) => reader.reject_at(
                position,
                KEY,
                format!("\"{text}\" is neither an address nor a network"),
                "write such as \"10.0.0.7\", \"10.0.0.0/8\" or \"fd00::/8\"",
            ),
        }
    }
    if networks.iter().any(|network| network.is_everything()) {
        reader.warn(
            KEY,
            "whoever reaches the port is believed, clients too",
            "name the gateways' own addresses or networks",
        );
    }
    networks.into_iter().collect()
}

pub(super) fn read_proxy_protocol(reader: &mut Reader<'_>, trusted: &Networks) -> bool {
    let proxy_protocol = reader.flag("proxy_protocol");
    if proxy_protocol && trusted.is_empty() {
        reader.warn(
            "proxy_protocol",
            "whoever reaches the port is believed to be whom it says",
            "name the balancer's address or network in trusted_proxies",
        );
    }
    proxy_protocol
}

pub(super) fn read_forwarded_host(reader: &mut Reader<'_>, trusted: &Networks) -> bool {
    let forwarded_host = reader.flag("forwarded_host");
    if forwarded_host && trusted.is_empty() {
        reader.warn(
            "forwarded_host",
            "it changes nothing, as nobody is believed",
            "name the gateways in trusted_proxies",
        );
    }
    forwarded_host
}

/// Who names the gateways has said that nobody else is one. Where none are named any client may be one, and an
/// app may go by what it says.
pub(super) fn read_untrusted_forwarded(
    reader: &mut Reader<'_>,
    trusted: &Networks,
) -> UntrustedForwarded {
    match reader.word("untrusted_forwarded").as_str() {
        "drop" => UntrustedForwarded::Drop,
        "" if !trusted.is_empty() => UntrustedForwarded::Drop,
        _ => UntrustedForwarded::Pass,
    }
}
