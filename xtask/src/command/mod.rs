//! What xtask can be told to do, one thin file for each.

pub mod accuracy;
pub mod demo;
pub mod ebpf;
pub mod examples;
pub mod formats;
pub mod kernel;
pub mod kills;
pub mod memory;
pub mod prove;
pub mod setup;
pub mod test;
pub mod vm;
