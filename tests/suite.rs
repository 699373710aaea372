//! The whole program's tests, in one binary: it links once.

mod architecture;
