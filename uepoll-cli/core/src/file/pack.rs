//! Compressing (zlib, which everybody can undo) and its careful reverse.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use super::Refused;

/// The same, compressed: quickly rather than well, since a recorder competes for
/// the CPU with what it records.
pub fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a Vec takes every byte")
}

/// What was compressed, if it is no more than `most` bytes.
///
/// # Errors
/// [`Refused::NotPacked`], or [`Refused::TooLarge`] before more is unpacked.
pub fn unpack(bytes: &[u8], most: usize) -> Result<Vec<u8>, Refused> {
    let mut out = Vec::new();
    let mut limited = ZlibDecoder::new(bytes).take(most as u64 + 1);
    limited.read_to_end(&mut out).map_err(|_| Refused::NotPacked)?;
    if out.len() > most { Err(Refused::TooLarge(most)) } else { Ok(out) }
}
