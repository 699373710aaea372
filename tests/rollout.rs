//! Rollout: how far rules answer from the cache, changed at any time and over the fleet.

mod modes;
mod switches;
