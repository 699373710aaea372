//! Writes as apps make them: lists of things.

mod lists;
