//! Rings looked at from outside, once, without probes: which there are, by
//! /proc, and what is in one, by its fdinfo and a mapping that is only read.
//! What is told of them is uepoll-core's `list`.

mod fdinfo;
mod file_kind;
mod look;
mod map;
mod process;
mod same_file;
pub mod scan;
pub mod series;
mod sockets;

pub use look::{LookError, look};
