//! How fred is to connect: nothing in it waits for ever but the attempts to reconnect.
//!
//! The supervisor notices a connection that no longer answers; fred's own watch for that would set a timer
//! for each piece that it reads or writes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fred::clients::{Client, WithOptions};
use fred::interfaces::ClientLike;
use fred::types::Builder;
use fred::types::RespVersion;
use fred::types::config::{
    ClusterDiscoveryPolicy, Config as Fred, ConnectionConfig, Options, PerformanceConfig,
    ReconnectPolicy, Server, ServerConfig, TlsConnector,
};
use parking_lot::Mutex;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::access::Stamp;
use super::diagnosis::{Address, Diagnosis};
use super::error::Error;
use crate::config::{
    Redis, RedisAccess, RedisLogin, RedisPassword, RedisServer, RedisServers, RedisTls,
};

/// For connecting and for the supervisor's commands, unless `[redis] timeout` is longer, which requests have.
pub(super) const MAINTENANCE_TIMEOUT: Duration = Duration::from_secs(1);

/// Invalidations that may wait for their task; one more and memory is emptied instead.
const INVALIDATIONS: usize = 1024;

/// Why no connection can be configured.
#[derive(Debug, thiserror::Error)]
pub(super) enum Misconfigured {
    #[error("the password's file cannot be read: {0}")]
    Password(std::io::Error),
    #[error("TLS cannot be used: {0}")]
    Tls(String),
    #[error("{0}")]
    Refused(fred::error::Error),
}

impl Misconfigured {
    pub(super) fn diagnose(&self) -> Diagnosis {
        Diagnosis {
            cause: self.to_string(),
            remedy: "mend [redis], or the file that it names".to_owned(),
        }
    }
}

/// How `config` addresses Redis, in words.
pub(super) fn address(config: &Redis) -> Address {
    let namespace = &config.namespace;
    let hosts = config.servers.named().iter().map(RedisServer::to_string);
    let is_cluster = config.servers.is_cluster();
    let user = config.access.login.user.clone();
    Address {
        hosts: hosts.collect::<Vec<_>>().join(","),
        is_tls: config.access.tls.is_some(),
        is_cluster,
        master: match &config.servers {
            RedisServers::Sentinel { master, .. } => Some(master.clone()),
            _ => None,
        },
        user: user.unwrap_or_else(|| "default".to_owned()),
        names: match is_cluster {
            true => format!("~{{{namespace}.*"),
            false => format!("~{{{namespace}}}*"),
        },
    }
}

/// fred's settings for `config`, or for one `node` of its cluster, let in by `access`, whose files are read now.
fn build_settings(
    config: &Redis,
    access: &RedisAccess,
    node: Option<&Server>,
) -> Result<Fred, Misconfigured> {
    let (username, password) = read_login(&access.login)?;
    let servers = match node {
        Some(node) => ServerConfig::Centralized {
            server: node.clone(),
        },
        None => build_servers(config, access)?,
    };
    Ok(Fred {
        server: servers,
        username,
        password,
        database: Some(config.database).filter(|number| *number > 0),
        tls: access
            .tls
            .as_ref()
            .map(build_tls)
            .transpose()?
            .map(Into::into),
        // Only RESP3 carries invalidations beside replies.
        version: RespVersion::RESP3,
        // The first connection is tried for ever like any other.
        fail_fast: false,
        ..Fred::default()
    })
}

fn build_servers(config: &Redis, access: &RedisAccess) -> Result<ServerConfig, Misconfigured> {
    Ok(match &config.servers {
        RedisServers::Single(server) => ServerConfig::Centralized {
            server: of_fred(server),
        },
        // Before it is known which of the nodes to connect to.
        RedisServers::Cluster(nodes) => ServerConfig::Clustered {
            hosts: nodes.iter().map(of_fred).collect(),
            policy: ClusterDiscoveryPolicy::ConfigEndpoint,
        },
        RedisServers::Sentinel { sentinels, master } => {
            let (username, password) = read_login(&access.sentinel_login)?;
            ServerConfig::Sentinel {
                hosts: sentinels.iter().map(of_fred).collect(),
                service_name: master.clone(),
                username,
                password,
            }
        }
    })
}

/// The nodes of a cluster that `config` names.
pub(super) fn named_nodes(config: &Redis) -> Vec<Server> {
    match &config.servers {
        RedisServers::Cluster(nodes) => nodes.iter().map(of_fred).collect(),
        RedisServers::Single(_) | RedisServers::Sentinel { .. } => Vec::new(),
    }
}

fn of_fred(server: &RedisServer) -> Server {
    Server::new(server.bracketed_host(), server.port)
}

/// User and password, as they are now.
fn read_login(login: &RedisLogin) -> Result<(Option<String>, Option<String>), Misconfigured> {
    let password = login.password.as_ref().map(RedisPassword::read);
    let password = password.transpose().map_err(Misconfigured::Password)?;
    Ok((login.user.clone(), password))
}

/// fred's client, as each kind of command uses it.
pub(super) struct Clients {
    /// For what takes no options.
    pub(super) plain: Client,
    /// For what is sent in a scope, which bounds the time.
    pub(super) unbounded: WithOptions<Client>,
    /// For the supervisor elsewhere, bounded by [`MAINTENANCE_TIMEOUT`].
    pub(super) bounded: WithOptions<Client>,
    /// Of a cluster, the one that it is connected to.
    pub(super) node: Option<Server>,
    /// What lets it in.
    stamp: Stamp,
    /// fred's own task, once it has begun.
    task: Mutex<Option<AbortHandle>>,
    ending: watch::Sender<Option<Ending>>,
}

/// How a client has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Somebody is to take another one.
    GivenUp,
    /// fred does not go on with it.
    Broken(Option<Error>),
}

impl Clients {
    /// Not connected yet.
    ///
    /// `node`: of a cluster, the one to connect to. `first`: which of the sentinels is asked first.
    pub(super) fn new(
        config: &Redis,
        access: Arc<RedisAccess>,
        node: Option<&Server>,
        first: Option<usize>,
    ) -> Result<Clients, Misconfigured> {
        let stamp = Stamp::of(Arc::clone(&access));
        let mut settings = build_settings(config, &access, node)?;
        if let (ServerConfig::Sentinel { hosts, .. }, Some(first)) = (&mut settings.server, first) {
            let first = first.min(hosts.len().saturating_sub(1));
            hosts.rotate_left(first);
        }
        let plain = build_client(settings, config).map_err(Misconfigured::Refused)?;
        let options = |timeout| Options {
            max_attempts: Some(1),
            timeout: Some(timeout),
            fail_fast: true,
            ..Options::default()
        };
        Ok(Clients {
            unbounded: plain.with_options(&options(Duration::ZERO)),
            bounded: plain.with_options(&options(MAINTENANCE_TIMEOUT.max(config.timeout))),
            plain,
            node: node.cloned(),
            stamp,
            task: Mutex::default(),
            ending: watch::Sender::default(),
        })
    }

    /// Whether another client would be let in by `access` otherwise: fred goes on with what it began with.
    pub(super) fn is_let_in_otherwise(&self, access: Arc<RedisAccess>) -> bool {
        self.stamp != Stamp::of(access)
    }

    /// Connects in the background, unless it does already. Whoever listens to it is to do so before. Call it inside the
    /// runtime.
    pub(super) fn connect(&self) {
        let mut task = self.task.lock();
        if task.is_some() || self.has_ended() {
            return;
        }
        let client = self.plain.connect();
        *task = Some(client.abort_handle());
        let ending = self.ending.clone();
        tokio::spawn(async move {
            let ended = match client.await {
                Ok(result) => Ending::Broken(result.err().map(Error::from)),
                Err(_aborted) => Ending::GivenUp,
            };
            ending.send_if_modified(|ending| match ending {
                Some(_) => false,
                None => ending.replace(ended).is_none(),
            });
        });
    }

    /// Gives it up, for all that use it.
    pub(super) fn end(&self) {
        self.ending.send_replace(Some(Ending::GivenUp));
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }

    /// Whether another one is to be made.
    pub(super) fn has_ended(&self) -> bool {
        self.ending.borrow().is_some()
    }

    /// Tells of its end.
    pub(super) fn ending(&self) -> watch::Receiver<Option<Ending>> {
        self.ending.subscribe()
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

/// A client that is connected once, to ask a node of a cluster or a sentinel.
pub(super) struct Probe {
    client: Client,
    task: Mutex<Option<AbortHandle>>,
}

impl Probe {
    pub(super) fn new(
        config: &Redis,
        access: &RedisAccess,
        node: &Server,
    ) -> Result<Probe, Misconfigured> {
        Probe::with(build_settings(config, access, Some(node))?)
    }

    pub(super) fn to_sentinel(
        config: &Redis,
        access: &RedisAccess,
        sentinel: &RedisServer,
    ) -> Result<Probe, Misconfigured> {
        let mut settings = build_settings(config, access, Some(&of_fred(sentinel)))?;
        (settings.username, settings.password) = read_login(&access.sentinel_login)?;
        settings.database = None;
        Probe::with(settings)
    }

    fn with(mut settings: Fred) -> Result<Probe, Misconfigured> {
        settings.fail_fast = true;
        let mut builder = Builder::from_config(settings);
        builder.set_connection_config(connection_config());
        let client = builder.build().map_err(Misconfigured::Refused)?;
        Ok(Probe {
            client,
            task: Mutex::default(),
        })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn is_connected(&self) -> bool {
        self.client.is_connected()
    }

    /// Connects, within [`MAINTENANCE_TIMEOUT`].
    pub(super) async fn connect(&self) -> Result<&Client, Error> {
        let task = self.client.connect();
        *self.task.lock() = Some(task.abort_handle());
        let connected = tokio::time::timeout(MAINTENANCE_TIMEOUT, self.client.wait_for_connect());
        match connected.await {
            Ok(connected) => connected.map(|()| &self.client).map_err(Error::from),
            Err(_) => Err(Error::Timeout),
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

fn build_client(settings: Fred, config: &Redis) -> Result<Client, fred::error::Error> {
    Builder::from_config(settings)
        .set_policy(reconnect_policy(config))
        .set_connection_config(connection_config())
        .set_performance_config(PerformanceConfig {
            default_command_timeout: MAINTENANCE_TIMEOUT,
            broadcast_channel_capacity: INVALIDATIONS,
            ..PerformanceConfig::default()
        })
        .build()
}

fn connection_config() -> ConnectionConfig {
    ConnectionConfig {
        connection_timeout: MAINTENANCE_TIMEOUT,
        internal_command_timeout: MAINTENANCE_TIMEOUT,
        // How often a command is sent.
        max_command_attempts: 1,
        reconnect_on_auth_error: false,
        ..ConnectionConfig::default()
    }
}

/// Where another server takes over from one that has failed, it is there within seconds: the longest wait for it.
const TAKEOVER: Duration = Duration::from_millis(500);

/// For ever, with exponential backoff and jitter, up to `reconnect_max`.
fn reconnect_policy(config: &Redis) -> ReconnectPolicy {
    let longest = match config.servers {
        RedisServers::Single(_) => config.reconnect_max,
        RedisServers::Cluster(_) | RedisServers::Sentinel { .. } => {
            config.reconnect_max.min(TAKEOVER)
        }
    };
    let max = u32::try_from(longest.as_millis())
        .unwrap_or(u32::MAX)
        .max(1);
    // The first attempt is made at once: a purge may wait for it.
    let mut policy = ReconnectPolicy::new_exponential(0, 2.min(max), max, 2);
    policy.set_jitter((max / 10).clamp(1, 10));
    policy
}

/// The system's authorities, those of `ca_file`, and what Pannier shows of itself.
fn build_tls(tls: &RedisTls) -> Result<TlsConnector, Misconfigured> {
    let wrong = |error: &dyn std::fmt::Display| Misconfigured::Tls(error.to_string());
    let of_file = |file: &Path, error: &dyn std::fmt::Display| {
        Misconfigured::Tls(format!("{}: {error}", file.display()))
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = &tls.ca_file {
        for certificate in read_certificates(file).map_err(|e| of_file(file, &e))? {
            roots.add(certificate).map_err(|e| of_file(file, &e))?;
        }
    }
    let provider = rustls::crypto::ring::default_provider();
    let builder = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(&e))?
        .with_root_certificates(roots);
    let Some(client) = &tls.client else {
        return Ok(builder.with_no_client_auth().into());
    };
    let (cert, key) = (&client.cert_file, &client.key_file);
    let chain = read_certificates(cert).map_err(|e| of_file(cert, &e))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|e| of_file(key, &e))?;
    let built = builder.with_client_auth_cert(chain, key);
    Ok(built.map_err(|e| wrong(&e))?.into())
}

fn read_certificates(
    file: &Path,
) -> Result<Vec<CertificateDer<'static>>, rustls_pki_types::pem::Error> {
    CertificateDer::pem_file_iter(file)?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Outage;

    fn config(servers: RedisServers) -> Redis {
        Redis {
            servers,
            access: RedisAccess::default(),
            database: 0,
            namespace: "pannier".to_owned(),
            connections: 2,
            timeout: Duration::from_millis(50),
            reconnect_max: Duration::from_secs(2),
            breaker_failures: 5,
            breaker_probe: Duration::from_millis(250),
            staleness: Duration::from_secs(1),
            outage: Outage::Serve,
            outage_ttl: Duration::from_secs(30),
            journal: None,
            looks_by_lease: false,
            layout: None,
        }
    }

    fn server(host: &str) -> RedisServer {
        RedisServer {
            host: host.to_owned(),
            port: 6379,
        }
    }

    #[test]
    fn each_topology_is_told_to_fred() {
        let access = RedisAccess {
            login: RedisLogin {
                user: Some("app".to_owned()),
                password: Some(RedisPassword::Text("a".to_owned())),
            },
            sentinel_login: RedisLogin {
                user: None,
                password: Some(RedisPassword::Text("b".to_owned())),
            },
            tls: None,
        };
        let single = config(RedisServers::Single(server("::1")));
        let settings = build_settings(&single, &access, None).expect("all is there");
        assert_eq!(
            settings.server,
            ServerConfig::new_centralized("[::1]", 6379)
        );
        assert_eq!(settings.password.as_deref(), Some("a"));
        let sentinel = config(RedisServers::Sentinel {
            sentinels: vec![server("s")],
            master: "m".to_owned(),
        });
        let settings = build_settings(&sentinel, &access, None).expect("all is there");
        let ServerConfig::Sentinel { password, .. } = settings.server else {
            panic!("{:?}", settings.server);
        };
        assert_eq!(password.as_deref(), Some("b"));
        let cluster = config(RedisServers::Cluster(vec![server("a"), server("b")]));
        let node = Server::new("c", 1);
        let settings = build_settings(&cluster, &access, Some(&node)).expect("all is there");
        assert_eq!(settings.server, ServerConfig::new_centralized("c", 1));
        assert_eq!(named_nodes(&cluster).len(), 2);
    }

    #[test]
    fn a_file_that_is_gone_is_an_error() {
        let single = config(RedisServers::Single(server("a")));
        let gone = std::path::PathBuf::from("/nonexistent/file");
        let tls = RedisAccess {
            tls: Some(RedisTls {
                ca_file: Some(gone.clone()),
                client: None,
            }),
            ..RedisAccess::default()
        };
        assert!(matches!(
            build_settings(&single, &tls, None),
            Err(Misconfigured::Tls(_))
        ));
        let password = RedisAccess {
            login: RedisLogin {
                user: None,
                password: Some(RedisPassword::File(gone)),
            },
            ..RedisAccess::default()
        };
        assert!(matches!(
            build_settings(&single, &password, None),
            Err(Misconfigured::Password(_))
        ));
    }

    #[test]
    fn reconnection_never_ends_nor_exceeds_the_maximum() {
        let (single, cluster) = (
            RedisServers::Single(server("a")),
            RedisServers::Cluster(vec![server("a")]),
        );
        for (servers, longest) in [(single, 2000), (cluster, 500)] {
            let mut policy = reconnect_policy(&config(servers));
            for _ in 0..100 {
                assert!(policy.next_delay().is_some_and(|delay| delay <= longest));
            }
        }
    }
}
