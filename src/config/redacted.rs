//! `Debug` of what holds secrets, so that no log or panic message ever shows them.

use std::fmt::{Debug, Formatter, Result};

use super::{Admin, JwtKey, Redis, RedisPassword, Tls};

const HIDDEN: &str = "(hidden)";

impl Debug for Redis {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("Redis")
            .field("servers", &self.servers)
            .field("namespace", &self.namespace)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Debug for RedisPassword {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            RedisPassword::Text(_) => f.write_str(HIDDEN),
            RedisPassword::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl Debug for JwtKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let kind = match self {
            JwtKey::Secret(_) => "Secret",
            JwtKey::Pem(_) => "Pem",
            JwtKey::Jwks(_) => "Jwks",
        };
        f.debug_tuple(kind).field(&HIDDEN).finish()
    }
}

impl Debug for Admin {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("Admin")
            .field("token", &self.token.as_ref().map(|_| HIDDEN))
            .field("read_token", &self.read_token.as_ref().map(|_| HIDDEN))
            .field("hosts", &self.hosts)
            .finish()
    }
}

impl Debug for Tls {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("Tls")
            .field("cert", &self.cert)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
