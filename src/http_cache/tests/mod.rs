//! What holds for this room as a whole, and what the tests of its files are made of.

pub(super) mod fixtures;
pub(super) mod properties;
