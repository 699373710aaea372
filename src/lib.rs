//! Pannier: a caching reverse-proxy sidecar. So far its pure rooms, config and store.

pub mod budget;
pub mod clock;
pub mod config;
pub mod entry;
pub mod http_cache;
pub mod jwt;
pub mod metrics;
pub mod routes;
pub mod store;
