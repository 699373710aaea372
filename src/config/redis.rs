//! What `[redis]` says: where the shared store is, who is let in, and how it is used.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::Outage;

/// The shared Redis.
#[derive(Clone, PartialEq)]
pub struct Redis {
    /// Where it is.
    pub servers: RedisServers,
    /// How Pannier is let in; a reload changes it for connections made later.
    pub access: RedisAccess,
    /// The number of the database. Default 0.
    pub database: u8,
    /// What every key begins with. Default `pannier`.
    pub namespace: String,
    /// The most connections for requests, which workers share; one more is for the rest. Default 2.
    pub connections: usize,
    /// Per command. Default 50 ms.
    pub timeout: Duration,
    /// Longest wait between two attempts to reconnect. Default 2 s.
    pub reconnect_max: Duration,
    /// Failures in a row that open the circuit breaker. Default 5.
    pub breaker_failures: u32,
    /// How often an open breaker lets one probe through. Default 250 ms.
    pub breaker_probe: Duration,
    /// How long memory answers without having heard of Redis. Default 1 s.
    pub staleness: Duration,
    /// What memory does after that, while Redis cannot be asked either.
    pub outage: Outage,
    /// The oldest that memory serves then, from its last confirmation. Default 30 s.
    pub outage_ttl: Duration,
    /// The file that says after a restart which purges this sidecar knows of.
    pub journal: Option<PathBuf>,
    /// Whether each miss leaves its look to the request for the lease, whatever looks have found. No key of the file:
    /// `false`, unless a test has all misses do so.
    pub looks_by_lease: bool,
    /// The version of the stored layout. No key of the file: `None`, this program's own, unless a test
    /// starts sidecars of two layouts side by side.
    pub layout: Option<u32>,
}

/// Where the shared Redis is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisServers {
    /// One server, or a name that leads to it.
    Single(RedisServer),
    /// Nodes of a cluster, which name the others.
    Cluster(Vec<RedisServer>),
    /// Sentinels, which know where the primary of that name is.
    Sentinel {
        /// Those asked first; they name the others.
        sentinels: Vec<RedisServer>,
        /// The name of the primary.
        master: String,
    },
}

impl RedisServers {
    /// In how many parts a cluster has what is stored, each at one of its nodes, with an equal part of the budget. A power of
    /// two, as of the pieces of memory that follow them.
    pub const PARTS_OF_CLUSTER: usize = 16;

    /// Whether it is a cluster, whose keys are spread over its nodes.
    pub fn is_cluster(&self) -> bool {
        matches!(self, RedisServers::Cluster(_))
    }

    /// All that are named.
    pub fn named(&self) -> &[RedisServer] {
        match self {
            RedisServers::Single(server) => std::slice::from_ref(server),
            RedisServers::Cluster(nodes) => nodes,
            RedisServers::Sentinel { sentinels, .. } => sentinels,
        }
    }
}

/// Host and port of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisServer {
    /// A name or an address; one of IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl RedisServer {
    /// As a URL has it: an address of IPv6 stands in brackets (RFC 3986 §3.2.2).
    pub fn bracketed_host(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        }
    }
}

impl fmt::Display for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.bracketed_host(), self.port)
    }
}

/// How Pannier is let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisAccess {
    /// At the servers that hold data.
    pub login: RedisLogin,
    /// At the sentinels.
    pub sentinel_login: RedisLogin,
    /// `None`: plain TCP.
    pub tls: Option<RedisTls>,
}

/// Who logs in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisLogin {
    /// `None`: the user `default`.
    pub user: Option<String>,
    /// `None`: none is demanded.
    pub password: Option<RedisPassword>,
}

/// A password, or where it stands.
#[derive(Clone, PartialEq, Eq)]
pub enum RedisPassword {
    /// As the config has it.
    Text(String),
    /// The file's text without the end of its last line, read for each connection anew.
    File(PathBuf),
}

impl RedisPassword {
    /// What it is now.
    pub fn read(&self) -> io::Result<String> {
        match self {
            RedisPassword::Text(text) => Ok(text.clone()),
            RedisPassword::File(path) => {
                let text = std::fs::read_to_string(path)?;
                Ok(text.trim_end_matches(['\n', '\r']).to_owned())
            }
        }
    }
}

/// Connections by TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisTls {
    /// A PEM file of further certificate authorities.
    pub ca_file: Option<PathBuf>,
    /// What Pannier shows of itself, for a Redis with `tls-auth-clients`.
    pub client: Option<ClientCertificate>,
}

/// A certificate with its private key, both PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and its chain behind it.
    pub cert_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
    /// When the certificate ends; `None`: it does not say so in a way that is understood.
    pub ends: Option<SystemTime>,
}
