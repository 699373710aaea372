//! The PROXY protocol, versions 1 and 2: what a balancer that does not read HTTP says of the client, ahead of its
//! first byte (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>, by its sections).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// §2.1: the longest line of version 1.
const MAX_LINE: usize = 107;
/// Bytes after the beginning of version 2. Balancers send some hundred; §2.2 allows 65,535.
const MAX_REST: usize = 4096;
const PREFIX: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// §2.2: signature, version and command, family, length.
const START: usize = 16;

/// What is said of the connection's other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The client's address.
    Client(IpAddr),
    /// Nothing: the balancer itself asks, or it does not know, or the client came by a unix socket.
    Unknown,
}

/// Why a connection is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("it begins with no header of the PROXY protocol")]
    Missing,
    #[error("the header of the PROXY protocol is malformed")]
    Malformed,
    #[error("the header of the PROXY protocol is too long")]
    TooLong,
    #[error("the sender is none of listen.trusted_proxies")]
    Untrusted,
}

/// Takes the header off, and not a byte more.
pub(super) async fn read(stream: &mut TcpStream) -> io::Result<Result<Source, Fault>> {
    let mut held = Vec::new();
    let mut fresh = [0; 512];
    loop {
        let length = stream.peek(&mut fresh).await?;
        if length == 0 {
            // Balancers look whether the port is open, and say nothing.
            return match held.is_empty() {
                true => Err(io::ErrorKind::UnexpectedEof.into()),
                false => Ok(Err(Fault::Malformed)),
            };
        }
        let before = held.len();
        held.extend_from_slice(&fresh[..length]);
        let parsed = parse(&held);
        let taken = match parsed {
            Err(fault) => return Ok(Err(fault)),
            Ok(None) => length,
            Ok(Some((_, end))) => end - before,
        };
        // They are there: else the next look would find them again.
        stream.read_exact(&mut fresh[..taken]).await?;
        if let Ok(Some((source, _))) = parsed {
            return Ok(Ok(source));
        }
    }
}

/// What the header at the beginning of `bytes` says, and its length; `None`: it goes on.
fn parse(bytes: &[u8]) -> Result<Option<(Source, usize)>, Fault> {
    let begins = |with: &[u8]| {
        let common = with.len().min(bytes.len());
        with[..common] == bytes[..common]
    };
    if begins(SIGNATURE) {
        parse_binary(bytes)
    } else if begins(PREFIX) {
        parse_line(bytes)
    } else {
        Err(Fault::Missing)
    }
}

/// §2.1
fn parse_line(bytes: &[u8]) -> Result<Option<(Source, usize)>, Fault> {
    let start = &bytes[..bytes.len().min(MAX_LINE)];
    let Some(end) = start.iter().position(|byte| *byte == b'\n') else {
        return match bytes.len() < MAX_LINE {
            true => Ok(None),
            false => Err(Fault::TooLong),
        };
    };
    let line = start[..end].strip_suffix(b"\r").ok_or(Fault::Malformed)?;
    let line = std::str::from_utf8(line).map_err(|_| Fault::Malformed)?;
    let mut words = line.split(' ').skip(1);
    let protocol = words.next().unwrap_or_default();
    // "The receiver must ignore anything presented before the CRLF".
    if protocol == "UNKNOWN" {
        return Ok(Some((Source::Unknown, end + 1)));
    }
    let words: Vec<&str> = words.collect();
    let [source, destination, from, to] = words[..] else {
        return Err(Fault::Malformed);
    };
    let address = |text: &str| match protocol {
        "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::from),
        "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        _ => None,
    };
    match (address(source), address(destination)) {
        (Some(source), Some(_)) if is_port(from) && is_port(to) => {
            Ok(Some((Source::Client(source), end + 1)))
        }
        _ => Err(Fault::Malformed),
    }
}

fn is_port(text: &str) -> bool {
    let is_canonical = text == "0" || !text.starts_with('0');
    is_canonical && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// §2.2
fn parse_binary(bytes: &[u8]) -> Result<Option<(Source, usize)>, Fault> {
    let Some((start, rest)) = bytes.split_first_chunk::<START>() else {
        return Ok(None);
    };
    let (command, family) = (start[12], start[13]);
    let length = usize::from(u16::from_be_bytes([start[14], start[15]]));
    if length > MAX_REST {
        return Err(Fault::TooLong);
    }
    if command >> 4 != 2 || command & 0xf > 1 || family >> 4 > 3 || family & 0xf > 2 {
        return Err(Fault::Malformed);
    }
    let is_local = command & 0xf == 0;
    // Source and destination, and for IP their ports.
    let addresses = match family >> 4 {
        _ if is_local => 0,
        1 => 12,
        2 => 36,
        3 => 216,
        _ => 0,
    };
    if length < addresses {
        return Err(Fault::Malformed);
    }
    if rest.len() < length {
        return Ok(None);
    }
    let source = match (addresses, rest) {
        (12, [a, b, c, d, ..]) => Source::Client(Ipv4Addr::new(*a, *b, *c, *d).into()),
        (36, rest) => match rest.first_chunk::<16>() {
            Some(address) => Source::Client(Ipv6Addr::from(*address).into()),
            None => return Err(Fault::Malformed),
        },
        _ => Source::Unknown,
    };
    // What follows the addresses (§2.2.1 on) says nothing that is asked here.
    Ok(Some((source, START + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parsed = Result<Option<(Source, usize)>, Fault>;

    fn client(address: &str, length: usize) -> Parsed {
        let address = address.parse().unwrap();
        Ok(Some((Source::Client(address), length)))
    }

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, rest].concat()
    }

    #[test]
    fn lines() {
        let malformed = Err(Fault::Malformed);
        let unknown = |length| Ok(Some((Source::Unknown, length)));
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
        let longer = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
        let rows: &[(&str, Parsed)] = &[
            (
                "PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\nGET",
                client("192.0.2.1", 40),
            ),
            (
                "PROXY TCP6 2001:db8::7 ::1 0 65535\r\n",
                client("2001:db8::7", 36),
            ),
            ("PROXY UNKNOWN\r\n", unknown(15)),
            ("PROXY UNKNOWN ffff:f ...\r\n", unknown(26)),
            (&longest, unknown(107)),
            (&longer, Err(Fault::TooLong)),
            ("PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\n", malformed),
            ("PROXY TCP4 192.0.2.1 10.0.0.1 4711 65536\r\n", malformed),
            ("PROXY TCP4 192.0.2.1 10.0.0.1 04711 443\r\n", malformed),
            ("PROXY TCP4 192.0.2.1 10.0.0.1 +1 443\r\n", malformed),
            ("PROXY TCP4 192.0.2.1 10.0.0.1  443\r\n", malformed),
            ("PROXY TCP4 192.0.2.1 10.0.0.1 4711 443 \r\n", malformed),
            ("PROXY  TCP4 192.0.2.1 10.0.0.1 4711 443\r\n", malformed),
            ("PROXY TCP4 ::1 ::1 4711 443\r\n", malformed),
            ("PROXY TCP6 192.0.2.1 10.0.0.1 4711 443\r\n", malformed),
            ("PROXY UDP4 192.0.2.1 10.0.0.1 4711 443\r\n", malformed),
            ("PROXY\r\n", Err(Fault::Missing)),
            ("GET / HTTP/1.1\r\n", Err(Fault::Missing)),
            ("proxy tcp4", Err(Fault::Missing)),
        ];
        for (line, expected) in rows {
            assert_eq!(parse(line.as_bytes()), *expected, "{line:?}");
        }
    }

    #[test]
    fn binary_headers() {
        let v4 = [192, 0, 2, 1, 10, 0, 0, 1, 0, 80, 1, 187];
        let mut v6 = [0; 36];
        v6[15] = 7;
        let with_tlv = [&v4[..], &[4, 0, 1, 0]].concat();
        let unknown = |length| Ok(Some((Source::Unknown, length)));
        let malformed = Err(Fault::Malformed);
        let rows: &[(&str, Vec<u8>, Parsed)] = &[
            ("IPv4", binary(0x21, 0x11, &v4), client("192.0.2.1", 28)),
            (
                "datagrams",
                binary(0x21, 0x12, &v4),
                client("192.0.2.1", 28),
            ),
            (
                "more",
                binary(0x21, 0x11, &with_tlv),
                client("192.0.2.1", 32),
            ),
            ("IPv6", binary(0x21, 0x21, &v6), client("::7", 52)),
            ("unix", binary(0x21, 0x31, &[0; 216]), unknown(232)),
            ("local", binary(0x20, 0x00, &[]), unknown(16)),
            ("local with address", binary(0x20, 0x11, &v4), unknown(28)),
            ("unspecified", binary(0x21, 0x00, &[1, 2]), unknown(18)),
            ("short IPv4", binary(0x21, 0x11, &v4[1..]), malformed),
            ("short IPv6", binary(0x21, 0x21, &v6[1..]), malformed),
            ("short unix", binary(0x21, 0x31, &[0; 215]), malformed),
            ("version 1", binary(0x11, 0x11, &v4), malformed),
            ("no command", binary(0x22, 0x11, &v4), malformed),
            ("no family", binary(0x21, 0x41, &v4), malformed),
            ("no transport", binary(0x21, 0x13, &v4), malformed),
            ("long", binary(0x21, 0x00, &[0; 4096]), unknown(4112)),
            (
                "too long",
                binary(0x21, 0x00, &[0; 4097]),
                Err(Fault::TooLong),
            ),
        ];
        for (name, header, expected) in rows {
            assert_eq!(parse(header), *expected, "{name}");
        }
    }

    #[test]
    fn a_header_may_come_byte_by_byte() {
        let v4 = [192, 0, 2, 1, 10, 0, 0, 1, 0, 80, 1, 187];
        let headers = [
            b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n".to_vec(),
            binary(0x21, 0x11, &v4),
        ];
        for header in headers {
            for end in 0..header.len() {
                assert_eq!(parse(&header[..end]), Ok(None), "{end}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(0_u8.., 0..200), at in 0..3_usize) {
            let start: &[u8] = [b"".as_slice(), PREFIX, SIGNATURE][at];
            let header = [start, &bytes].concat();
            if let Ok(Some((_, length))) = parse(&header) {
                proptest::prop_assert!(length <= header.len());
            }
        }
    }
}
