//! How fred is to connect: nothing in it waits for ever but the attempts to reconnect.
//!
//! The supervisor notices a connection that no longer answers; fred's own watch for that would set a timer
//! for each piece that it reads or writes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fred::clients::{Client, WithOptions};
use fred::interfaces::{ClientLike, ClusterInterface};
use fred::types::Builder;
use fred::types::RespVersion;
use fred::types::config::{
    ClusterDiscoveryPolicy, Config as Fred, ConnectionConfig, Options, PerformanceConfig,
    ReconnectPolicy, Server, ServerConfig, TlsConnector,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::access::Stamp;
use super::diagnosis::{Address, Diagnosis};
use super::keys::Keyspace;
use crate::config::{
    Redis, RedisAccess, RedisLogin, RedisPassword, RedisServer, RedisServers, RedisTls,
};

/// For connecting and for the supervisor's commands; requests have the shorter `[redis] timeout`.
const MAINTENANCE_TIMEOUT: Duration = Duration::from_secs(1);

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
        user: user.unwrap_or_else(|| "default".to_owned()),
        names: match is_cluster {
            true => format!("~{{{namespace}.*"),
            false => format!("~{{{namespace}}}*"),
        },
    }
}

/// fred's settings for `config`, let in by `access`, whose files are read now.
fn build_settings(config: &Redis, access: &RedisAccess) -> Result<Fred, Misconfigured> {
    let (username, password) = read_login(&access.login)?;
    Ok(Fred {
        server: build_servers(config, access)?,
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
    let of_fred = |server: &RedisServer| Server::new(server.bracketed_host(), server.port);
    Ok(match &config.servers {
        RedisServers::Single(server) => ServerConfig::Centralized {
            server: of_fred(server),
        },
        RedisServers::Cluster(nodes) => ServerConfig::Clustered {
            hosts: nodes.iter().map(of_fred).collect(),
            // Those that the config names may be dead, while others serve their slots.
            policy: ClusterDiscoveryPolicy::UseCache,
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
    /// For requests; their scope bounds the time.
    pub(super) for_requests: WithOptions<Client>,
    /// For the supervisor, bounded by [`MAINTENANCE_TIMEOUT`].
    pub(super) for_maintenance: WithOptions<Client>,
    /// What lets it in.
    stamp: Stamp,
}

impl Clients {
    /// Not connected yet.
    ///
    /// `known`: nodes of the cluster that answered before, beside those that the config names.
    pub(super) fn new(
        config: &Redis,
        access: Arc<RedisAccess>,
        known: &[Server],
    ) -> Result<Clients, Misconfigured> {
        let stamp = Stamp::of(Arc::clone(&access));
        let mut settings = build_settings(config, &access)?;
        if let ServerConfig::Clustered { hosts, .. } = &mut settings.server {
            let others = known.iter().filter(|node| !hosts.contains(node));
            hosts.extend(others.cloned().collect::<Vec<_>>());
        }
        let plain = build_client(settings, config).map_err(Misconfigured::Refused)?;
        let options = |timeout| Options {
            max_attempts: Some(attempts(config)),
            timeout: Some(timeout),
            fail_fast: true,
            ..Options::default()
        };
        Ok(Clients {
            for_requests: plain.with_options(&options(Duration::ZERO)),
            for_maintenance: plain.with_options(&options(MAINTENANCE_TIMEOUT.max(config.timeout))),
            plain,
            stamp,
        })
    }

    /// Whether another client would be let in by `access` otherwise: fred goes on with what it began with.
    pub(super) fn is_let_in_otherwise(&self, access: Arc<RedisAccess>) -> bool {
        self.stamp != Stamp::of(access)
    }
}

impl Clients {
    /// For the supervisor, each server that it is connected to, with how many of the shards it has.
    pub(super) fn nodes(&self, keys: &Keyspace) -> Vec<(WithOptions<Client>, usize)> {
        if !self.plain.is_clustered() {
            return vec![(self.for_maintenance.clone(), keys.shards().len())];
        }
        let Some(routing) = self.plain.cached_cluster_state() else {
            return Vec::new();
        };
        let owners: Vec<_> = keys
            .shards()
            .iter()
            .map(|shard| routing.get_server(shard.slot()))
            .collect();
        let servers = self.plain.active_connections().into_iter();
        let nodes = servers.map(|server| {
            let shards = owners.iter().filter(|owner| **owner == Some(&server));
            let shards = shards.count();
            let client = self.plain.with_options(&Options {
                cluster_node: Some(server),
                ..self.for_maintenance.options().clone()
            });
            (client, shards)
        });
        nodes.collect()
    }
}

/// How often a command is sent: once, but where a node of a cluster may name another one, which fred counts as well.
fn attempts(config: &Redis) -> u32 {
    match config.servers.is_cluster() {
        true => 3,
        false => 1,
    }
}

fn build_client(settings: Fred, config: &Redis) -> Result<Client, fred::error::Error> {
    Builder::from_config(settings)
        .set_policy(reconnect_policy(config))
        .set_connection_config(ConnectionConfig {
            connection_timeout: MAINTENANCE_TIMEOUT,
            internal_command_timeout: MAINTENANCE_TIMEOUT,
            max_command_attempts: attempts(config),
            reconnect_on_auth_error: false,
            ..ConnectionConfig::default()
        })
        .set_performance_config(PerformanceConfig {
            default_command_timeout: MAINTENANCE_TIMEOUT,
            broadcast_channel_capacity: INVALIDATIONS,
            ..PerformanceConfig::default()
        })
        .build()
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
        let settings = build_settings(&single, &access).expect("all is there");
        assert_eq!(
            settings.server,
            ServerConfig::new_centralized("[::1]", 6379)
        );
        assert_eq!(settings.password.as_deref(), Some("a"));
        let sentinel = config(RedisServers::Sentinel {
            sentinels: vec![server("s")],
            master: "m".to_owned(),
        });
        let settings = build_settings(&sentinel, &access).expect("all is there");
        let ServerConfig::Sentinel { password, .. } = settings.server else {
            panic!("{:?}", settings.server);
        };
        assert_eq!(password.as_deref(), Some("b"));
        let cluster = config(RedisServers::Cluster(vec![server("a"), server("b")]));
        let settings = build_settings(&cluster, &access).expect("all is there");
        assert!(settings.server.is_clustered() && settings.server.hosts().len() == 2);
        assert_eq!((attempts(&single), attempts(&cluster)), (1, 3));
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
            build_settings(&single, &tls),
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
            build_settings(&single, &password),
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
