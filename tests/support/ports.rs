//! Ports for servers that are told theirs: nobody else's until the test ends, also while the server is away.
//!
//! A port that was free a moment ago is not enough: the system gives the ports of its own range to connections, and tests
//! that flood make thousands of these.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::{Mutex, PoisonError};

/// Below it are the ports of services.
const LOWEST: u16 = 10_000;

/// Where the range of Linux begins that `bind` and `connect` take ports from, if nobody changed it.
const LINUX: u16 = 32_768;

/// Tests run in processes of their own: a UDP socket tells the others that its number is taken, and ends with the process.
static HELD: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A port of 127.0.0.1 on which nobody listens; it is given once, and to this process only.
pub(crate) fn free_port() -> u16 {
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let end = of_the_system();
    // Processes begin far from each other: most find theirs at once.
    let spread = u64::from(std::process::id()) * 61 % u64::from(end - LOWEST);
    let begin = LOWEST + u16::try_from(spread).expect("less than the range");
    for port in (begin..end).chain(LOWEST..begin) {
        let Ok(holder) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else {
            continue;
        };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            held.push(holder);
            return port;
        }
    }
    panic!("no port is free from {LOWEST} to {end}");
}

/// The first port that the system itself gives to connections.
fn of_the_system() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let first = range
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok());
    first.filter(|first| *first > LOWEST).unwrap_or(LINUX)
}

/// However many ask, and whatever is connected meanwhile.
#[test]
fn each_port_is_given_once_and_not_by_the_system() {
    let ports: Vec<u16> = (0..50).map(|_| free_port()).collect();
    for (number, port) in ports.iter().enumerate() {
        assert!(!ports[..number].contains(port), "{port} twice");
        assert!((LOWEST..of_the_system()).contains(port), "{port}");
        let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, *port));
        assert!(taken.is_err(), "another process is told of {port}");
        let listens = TcpListener::bind((Ipv4Addr::LOCALHOST, *port));
        listens.expect("nobody listens");
    }
}
