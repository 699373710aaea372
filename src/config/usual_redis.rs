//! `REDIS_URL`, or `REDIS_HOST` and its like, as deployments have them for the app: they count where neither the file
//! nor a variable of Pannier's own says anything of Redis.

use super::document::Document;
use super::env::Env;

impl Document {
    /// Takes Redis from these variables, if there is no word of it yet; says which ones count, for the log.
    pub(super) fn adopt_usual_redis(&mut self, env: &Env) -> Option<String> {
        if self.has("redis") {
            return None;
        }
        let get = |name: &str| env.get(name).filter(|value| !value.is_empty());
        if get("REDIS_ENABLED").is_some_and(is_no) {
            let unused = ["REDIS_URL", "REDIS_HOST"]
                .into_iter()
                .find(|name| get(name).is_some());
            return unused
                .map(|name| format!("REDIS_ENABLED is off, so {name} is not used: memory only"));
        }
        if let Some(url) = get("REDIS_URL") {
            self.set("redis", "url", url, "REDIS_URL");
            return Some(told("REDIS_URL"));
        }
        let host = get("REDIS_HOST")?;
        let mut names = "REDIS_HOST".to_owned();
        let mut named = |name: &'static str| {
            let value = get(name)?;
            names.push_str(", ");
            names.push_str(name);
            Some(value)
        };
        let password = named("REDIS_PASSWORD");
        // Kubernetes sets `tcp://10.0.0.1:6379` for a service named `redis`.
        let port = get("REDIS_PORT").filter(|port| !port.starts_with("tcp://"));
        let port = port.and_then(|_| named("REDIS_PORT"));
        self.set("redis", "host", host, "REDIS_HOST");
        for (key, value, source) in [
            ("port", port, "REDIS_PORT"),
            ("password", password, "REDIS_PASSWORD"),
        ] {
            if let Some(value) = value {
                self.set("redis", key, value, source);
            }
        }
        Some(told(&names))
    }
}

fn told(names: &str) -> String {
    format!(
        "Redis is taken from {names} of the environment, as the config has no [redis]; REDIS_ENABLED=false leaves it out"
    )
}

fn is_no(value: &str) -> bool {
    ["false", "0", "no", "off"].contains(&value.to_ascii_lowercase().as_str())
}
