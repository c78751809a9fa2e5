//! The `.uepoll` file: an SQLite database with one or many runs. Written while
//! a run goes on, read as something that anybody may have made. What its blobs
//! mean is uepoll-core's `file`, what its tables are is docs/file-format.md.

mod create;
mod error;
mod info;
mod name;
mod read;
mod recorder;
mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod view;
mod write;

pub use error::FileError;
pub use info::run_info;
pub use name::{RunName, Which};
pub use read::Recording;
pub use recorder::{Prepared, Recorder};
