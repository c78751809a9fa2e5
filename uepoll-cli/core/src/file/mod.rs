//! What a `.uepoll` file holds, as bytes and back: captures, blocks of records.
//! Pure, and careful: bytes of a file are whatever somebody made them. The
//! file itself, an SQLite database, is the `uepoll` binary's.

mod block;
mod counts;
mod pack;
mod stored;

use crate::capture::Capture;

pub use block::{Block, BlockWriter, MAX_BLOCK_BYTES, decode_block};
pub use counts::{histogram_buckets, histogram_name};

/// Most bytes of a capture once it is unpacked; a busy host's has some 100 KiB.
const MAX_CAPTURE_BYTES: usize = 64 << 20;

/// Why bytes of a file are no capture or no block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// They are not compressed as ours are.
    NotPacked,
    /// There is more in them than so many bytes.
    TooLarge(usize),
    /// They are not what a recorder writes, for this reason.
    Wrong(String),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotPacked => f.write_str("it cannot be decompressed"),
            Self::TooLarge(most) => write!(f, "it has more than {most} bytes"),
            Self::Wrong(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Refused {}

/// A capture as bytes: JSON, compressed (zlib). Counters and histograms go by
/// name and are left out where they are 0, so that later versions read it.
pub fn encode_capture(capture: &Capture) -> Vec<u8> {
    pack::pack(&stored::to_json(capture))
}

/// The capture that `bytes` hold.
///
/// # Errors
/// If they hold none, or more than any host can have.
pub fn decode_capture(bytes: &[u8]) -> Result<Capture, Refused> {
    stored::from_json(&pack::unpack(bytes, MAX_CAPTURE_BYTES)?)
}
