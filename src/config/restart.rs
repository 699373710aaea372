//! Which settings a reload cannot change: sockets, threads and connections made at the start.

use super::{Auth, Budget, Config, Redis};

impl Config {
    /// The settings that differ in `new` and take effect only at a restart.
    pub fn needs_restart(&self, new: &Config) -> Vec<&'static str> {
        let (a, b) = (&self.listen, &new.listen);
        let mut changed = vec![
            ("listen.proxy", a.proxy != b.proxy),
            ("listen.admin", a.admin != b.admin),
            ("listen.workers", a.workers != b.workers),
            (
                "listen.max_connections",
                a.max_connections != b.max_connections,
            ),
            (
                "upstream.max_fills",
                self.upstream.max_fills != new.upstream.max_fills,
            ),
            ("memory.max", self.memory.max != new.memory.max),
            (
                "memory.in_flight",
                self.memory.in_flight != new.memory.in_flight,
            ),
            (
                "memory.per_body",
                self.memory.per_body != new.memory.per_body,
            ),
            ("log.format", self.log.format != new.log.format),
        ];
        let max = |config: &Config| {
            config
                .auth
                .as_ref()
                .map_or(Auth::DEFAULT_MAX, |auth| auth.max)
        };
        changed.push(("auth.max", max(self) != max(new)));
        changed.extend(compare_budget(&self.budget, &new.budget));
        match (&self.redis, &new.redis) {
            (Some(a), Some(b)) => changed.extend(compare_redis(a, b)),
            (a, b) => changed.push(("redis", a.is_some() != b.is_some())),
        }
        let names = changed.into_iter().filter(|(_, differs)| *differs);
        names.map(|(name, _)| name).collect()
    }

    /// Keeps of `old` what is read at run time and is to change at a restart only.
    pub fn hold_until_restart(&mut self, old: &Config) {
        // Else lines of two forms would be in one log.
        self.log.format = old.log.format;
    }
}

/// Where Redis is, by whichever key.
const SERVERS: &str = "redis.url, host, nodes or sentinels";

fn compare_budget(a: &Budget, b: &Budget) -> [(&'static str, bool); 7] {
    [
        ("budget.max", a.max != b.max),
        ("budget.evict_at", a.evict_at != b.evict_at),
        ("budget.check_every", a.check_every != b.check_every),
        ("budget.evict_percent", a.evict_percent != b.evict_percent),
        (
            "budget.evict_percent_on_store",
            a.evict_percent_on_store != b.evict_percent_on_store,
        ),
        ("budget.order", a.order != b.order),
        ("budget.manage_server", a.manage_server != b.manage_server),
    ]
}

fn compare_redis(a: &Redis, b: &Redis) -> [(&'static str, bool); 13] {
    [
        (SERVERS, a.servers != b.servers),
        ("redis.database", a.database != b.database),
        (
            "redis.tls",
            a.access.tls.is_some() != b.access.tls.is_some(),
        ),
        ("redis.namespace", a.namespace != b.namespace),
        ("redis.connections", a.connections != b.connections),
        ("redis.timeout", a.timeout != b.timeout),
        ("redis.reconnect_max", a.reconnect_max != b.reconnect_max),
        (
            "redis.breaker_failures",
            a.breaker_failures != b.breaker_failures,
        ),
        ("redis.breaker_probe", a.breaker_probe != b.breaker_probe),
        ("redis.staleness", a.staleness != b.staleness),
        ("redis.outage", a.outage != b.outage),
        ("redis.outage_ttl", a.outage_ttl != b.outage_ttl),
        ("redis.journal", a.journal != b.journal),
    ]
}
