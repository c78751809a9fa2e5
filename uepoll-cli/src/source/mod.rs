//! Where a capture comes from: the running kernel.

mod attach;
mod boundary;
mod cost;
pub mod existing;
mod head_view;
mod head_watch;
mod interval;
pub mod live;
mod live_maps;
mod options;
mod pace;
mod rings;
mod spins;
