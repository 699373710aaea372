//! Pannier: a caching reverse-proxy sidecar. So far its pure rooms: rules, RFC 9111, entries.

pub mod budget;
pub mod clock;
pub mod entry;
pub mod http_cache;
pub mod routes;
