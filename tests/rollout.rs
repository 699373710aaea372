//! Rollout: how far rules answer from the cache, changed at any time and over the fleet.

mod audits;
mod modes;
mod refreshing;
mod shadow;
mod switches;
mod tuning;
