//! The command line is to come.

fn main() {}
