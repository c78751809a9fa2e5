//! One thin file for each verb.

mod child;
pub mod profile;
pub mod stress;
mod target;
