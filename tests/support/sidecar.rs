//! A sidecar in this process, from the text of its config.

use std::net::SocketAddr;
use std::time::Duration;

use pannier::app::App;
use pannier::config::{Config, Env};

use super::client::Client;
use super::eventually;

/// What every test's sidecar has, unless its own text says otherwise.
const DEFAULTS: [(&str, &str); 3] = [
    ("PANNIER_LISTEN_PROXY", "127.0.0.1:0"),
    ("PANNIER_LISTEN_ADMIN", "127.0.0.1:0"),
    ("PANNIER_ADMIN_TOKEN", TOKEN),
];

/// What does not happen by then does not happen.
const LONG: Duration = Duration::from_secs(30);

/// `[redis] timeout` by default, and what stands for it here, where a busy machine is not to look like a slow Redis.
const TIMEOUTS: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];

/// With this variable all misses leave their look in Redis to the request for the lease.
const LOOKS_BY_LEASE: &str = "LOOKS_BY_LEASE";

/// The token of its `POST /purge`.
pub(crate) const TOKEN: &str = "token-of-the-tests";

/// The running sidecar; dropping it stops it.
pub(crate) struct Sidecar {
    app: Option<App>,
    proxy: SocketAddr,
    admin: SocketAddr,
}

impl Sidecar {
    /// In front of `upstream` (a URL), with the tables of `toml`.
    pub(crate) fn start(upstream: &str, toml: &str) -> Sidecar {
        Sidecar::start_with_env(toml, &[("PANNIER_UPSTREAM_URL", upstream)])
    }

    /// With the tables of `toml`, which may read `variables`.
    pub(crate) fn start_with_env(toml: &str, variables: &[(&str, &str)]) -> Sidecar {
        Sidecar::start_changed(toml, variables, |_| {})
    }

    /// With a config that is changed where no key of the file does.
    pub(crate) fn start_changed(
        toml: &str,
        variables: &[(&str, &str)],
        change: impl FnOnce(&mut Config),
    ) -> Sidecar {
        let mut config = config(toml, variables);
        change(&mut config);
        let app = App::start(config, None).expect("it starts");
        let (proxy, admin) = (app.proxy_addr(), app.admin_addr());
        Sidecar {
            app: Some(app),
            proxy,
            admin,
        }
    }

    /// Where the proxy listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.proxy
    }

    /// A new client of the proxy.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.proxy)
    }

    /// A new client of the proxy that speaks HTTP/2 with prior knowledge.
    pub(crate) fn http2(&self) -> Client {
        Client::http2(self.proxy)
    }

    /// Where the admin interface listens.
    pub(crate) fn admin_addr(&self) -> SocketAddr {
        self.admin
    }

    /// A new client of the admin interface.
    pub(crate) fn admin(&self) -> Client {
        Client::new(self.admin)
    }

    /// Reloads it with the tables of `toml`, which may read `variables`.
    pub(crate) fn reload(&self, toml: &str, variables: &[(&str, &str)]) {
        let app = self.app.as_ref().expect("it runs");
        app.reload(config(toml, variables)).expect("it reloads");
    }

    /// Returns when all that was fetched is stored or refused.
    pub(crate) async fn fills_have_ended(&self) {
        let admin = self.admin();
        eventually("no fill is under way", LONG, || async {
            let metrics = admin.get("/metrics").await;
            is_quiet(metrics.text())
        })
        .await;
    }

    /// Stops it and waits until it has.
    pub(crate) fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        if let Some(app) = self.app.take() {
            app.shutdown();
        }
    }
}

/// Whether nothing is fetched for the store, nor will be as soon as it is its turn.
pub(crate) fn is_quiet(metrics: &str) -> bool {
    let none = |gauge: &str| metrics.lines().any(|line| line == format!("{gauge} 0"));
    none("pannier_refetches")
        && none("pannier_background_waiting")
        && none("pannier_background_running")
        && none("pannier_fills")
}

fn config(toml: &str, variables: &[(&str, &str)]) -> Config {
    let variables = variables.iter().copied();
    let env = Env::from_pairs(DEFAULTS.into_iter().chain(variables));
    let loaded = Config::parse(toml, "test.toml", &env);
    let mut config = loaded.unwrap_or_else(|errors| panic!("{errors}")).config;
    let [by_default, here] = TIMEOUTS;
    if let Some(redis) = &mut config.redis {
        if redis.timeout == by_default {
            redis.timeout = here;
        }
        redis.looks_by_lease = std::env::var_os(LOOKS_BY_LEASE).is_some();
    }
    config
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.shut_down();
    }
}
