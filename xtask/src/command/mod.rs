//! What xtask can be told to do, one thin file for each.

pub mod kernel;
pub mod vm;
