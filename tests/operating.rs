//! What operators are told, and told of: the fleet.

mod fleet;
