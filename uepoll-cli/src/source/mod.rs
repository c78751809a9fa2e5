//! Where a capture comes from. In this step, the running kernel.

pub mod live;
mod live_maps;
