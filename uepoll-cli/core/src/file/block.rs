//! Blocks of records: each record behind its length, so that a reader can pass
//! over a kind that it does not know.

use uepoll_common::record::Record;

use super::{Refused, pack};

/// Most bytes of a block once it is unpacked.
pub const MAX_BLOCK_BYTES: usize = 1 << 20;

/// Bytes at which a block is whole.
const WHOLE_BYTES: usize = 64 << 10;

/// Collects records.
#[derive(Clone, Debug, Default)]
pub struct BlockWriter {
    bytes: Vec<u8>,
    records: u64,
}

impl BlockWriter {
    /// Adds a record.
    pub fn push(&mut self, record: &Record) {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        record.encode(&mut |piece| self.bytes.extend_from_slice(piece));
        let length = self.bytes.len() - start - 2;
        let length = u16::try_from(length).expect("records have less than 100 bytes");
        self.bytes[start..start + 2].copy_from_slice(&length.to_le_bytes());
        self.records += 1;
    }

    /// Whether it should be written now.
    pub fn is_whole(&self) -> bool {
        self.bytes.len() >= WHOLE_BYTES
    }

    /// Records in it.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// What was collected, not yet packed, and begins anew.
    pub fn take(&mut self) -> Block {
        let taken = std::mem::take(self);
        Block { bytes: taken.bytes, records: taken.records }
    }
}

/// Collected records.
#[derive(Clone, Debug)]
pub struct Block {
    bytes: Vec<u8>,
    /// Records in it.
    pub records: u64,
}

impl Block {
    /// Bytes that it has before it is packed.
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// As a file holds it.
    pub fn pack(&self) -> Vec<u8> {
        pack::pack(&self.bytes)
    }
}

/// Hands over the records of a block, in order; those of a kind that is not
/// known are passed over.
///
/// # Errors
/// If `bytes` are no block; nothing was handed over then.
pub fn decode_block(bytes: &[u8], mut each: impl FnMut(&Record)) -> Result<(), Refused> {
    let bytes = pack::unpack(bytes, MAX_BLOCK_BYTES)?;
    let mut records = Vec::new();
    let mut rest = &bytes[..];
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length));
        let Some((record, after)) = after.split_at_checked(length) else {
            return Err(Refused::Wrong("a record is cut off".into()));
        };
        records.push(record);
        rest = after;
    }
    if !rest.is_empty() {
        return Err(Refused::Wrong("a record is cut off".into()));
    }
    records.into_iter().filter_map(Record::decode).for_each(|record| each(&record));
    Ok(())
}
