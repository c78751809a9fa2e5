//! What is learnt of the running kernel before anything is attached: its
//! symbols, its types, what it allows. Nothing here changes the host.

pub mod btf;
pub mod config;
pub mod rights;
pub mod symbols;
