//! One thin file for each verb.

mod cgroup;
mod child;
pub mod doctor;
pub mod help;
pub mod list;
pub mod man;
pub mod profile;
mod record;
pub mod report;
mod select;
pub mod stress;
mod target;
pub mod top;
pub mod trace;
mod watch;
