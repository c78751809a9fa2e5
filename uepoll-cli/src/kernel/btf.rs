//! A reader of BPF type format: where the fields of the kernel's structures
//! lie, and what its functions take and return. Only that; the rest of the
//! format is skipped. The bytes are not trusted.

mod prototype;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

pub use prototype::Prototype;

/// Where the running kernel shows its types.
pub const PATH: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;
const HEADER_BYTES: usize = 24;
const TYPE_BYTES: usize = 12;

const KIND_INT: u32 = 1;
const KIND_POINTER: u32 = 2;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_FORWARD: u32 = 7;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;
const BEYOND_LAST: u32 = KIND_ENUM64 + 1;

/// Structures inside structures, and names for types, are followed this far.
const DEPTH: u32 = 16;

/// Why bytes are no types.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BtfError {
    /// Not the format, or not of this machine's byte order.
    #[error("it is not BPF type format of this machine's byte order")]
    NotBtf,
    /// It ends where there should be more, or points outside itself.
    #[error("it is cut short or damaged near byte {0}")]
    Damaged(usize),
    /// A kind of type that was invented later: nothing behind it can be read.
    #[error("type {number} is of kind {kind}, which is newer than this reader")]
    UnknownKind {
        /// Number of the type.
        number: u32,
        /// Its kind.
        kind: u32,
    },
}

/// The types of a kernel.
pub struct Btf {
    bytes: Vec<u8>,
    strings: std::ops::Range<usize>,
    /// Byte offset of each type; number 0 is `void` and has none.
    types: Vec<usize>,
    structures: HashMap<String, u32>,
    functions: HashMap<String, u32>,
    repeated: HashSet<String>,
}

/// Head of one type.
#[derive(Clone, Copy)]
struct Head {
    at: usize,
    name: u32,
    kind: u32,
    count: usize,
    bit_fields: bool,
    /// Size of the type, or number of the type it refers to.
    size_or_type: u32,
}

impl Btf {
    /// Reads all types.
    ///
    /// # Errors
    /// See [`BtfError`].
    pub fn parse(bytes: Vec<u8>) -> Result<Self, BtfError> {
        let magic = bytes.first_chunk::<2>().map(|word| u16::from_ne_bytes(*word));
        if magic != Some(MAGIC) || bytes.len() < HEADER_BYTES {
            return Err(BtfError::NotBtf);
        }
        let header = word(&bytes, 4)? as usize;
        let section = |at: usize| -> Result<std::ops::Range<usize>, BtfError> {
            let start = header.checked_add(word(&bytes, at)? as usize);
            let end =
                start.and_then(|start| start.checked_add(word(&bytes, at + 4).ok()? as usize));
            match (start, end) {
                (Some(start), Some(end)) if end <= bytes.len() => Ok(start..end),
                _ => Err(BtfError::Damaged(at)),
            }
        };
        let (types, strings) = (section(8)?, section(16)?);
        let mut btf = Self {
            bytes,
            strings,
            types: vec![0],
            structures: HashMap::new(),
            functions: HashMap::new(),
            repeated: HashSet::new(),
        };
        let mut at = types.start;
        while at < types.end {
            let number = btf.types.len() as u32;
            let head = btf.head_at(at)?;
            btf.types.push(at);
            at = at.checked_add(btf.length(number, &head)?).ok_or(BtfError::Damaged(at))?;
            if at > types.end {
                return Err(BtfError::Damaged(head.at));
            }
            btf.remember(number, &head)?;
        }
        Ok(btf)
    }

    fn remember(&mut self, number: u32, head: &Head) -> Result<(), BtfError> {
        if head.kind != KIND_STRUCT && head.kind != KIND_FUNC {
            return Ok(());
        }
        let name = self.string(head.name)?.to_owned();
        if head.kind == KIND_STRUCT {
            if !name.is_empty() {
                self.structures.entry(name).or_insert(number);
            }
        } else if self.functions.insert(name.clone(), number).is_some() {
            self.repeated.insert(name);
        }
        Ok(())
    }

    fn head_at(&self, at: usize) -> Result<Head, BtfError> {
        let info = word(&self.bytes, at + 4)?;
        Ok(Head {
            at,
            name: word(&self.bytes, at)?,
            kind: info >> 24 & 0x1f,
            count: (info & 0xffff) as usize,
            bit_fields: info >> 31 != 0,
            size_or_type: word(&self.bytes, at + 8)?,
        })
    }

    fn head(&self, number: u32) -> Option<Head> {
        let at = *self.types.get(number as usize)?;
        (number != 0).then(|| self.head_at(at).ok()).flatten()
    }

    /// Bytes of one type.
    fn length(&self, number: u32, head: &Head) -> Result<usize, BtfError> {
        let kind = head.kind;
        let more = match kind {
            KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
            KIND_ARRAY => 12,
            KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => head.count * 12,
            KIND_ENUM | KIND_FUNC_PROTO => head.count * 8,
            0 | BEYOND_LAST.. => return Err(BtfError::UnknownKind { number, kind }),
            _ => 0,
        };
        Ok(TYPE_BYTES + more)
    }

    fn string(&self, offset: u32) -> Result<&str, BtfError> {
        let damaged = BtfError::Damaged(self.strings.start);
        let strings = self.bytes.get(self.strings.clone()).unwrap_or_default();
        let tail = strings.get(offset as usize..).ok_or(damaged)?;
        let end = tail.iter().position(|byte| *byte == 0).unwrap_or(tail.len());
        // Names of C; one that is not UTF-8 is nobody's we look for.
        Ok(std::str::from_utf8(&tail[..end]).unwrap_or(""))
    }

    /// Byte offset of a field; `path` may name fields of fields, with dots.
    /// Fields of structures and unions without a name count as the outer's.
    /// `None` if there is no such field, or it is no whole number of bytes in.
    pub fn offset(&self, structure: &str, path: &str) -> Option<u32> {
        let mut number = *self.structures.get(structure)?;
        let mut bits = 0u32;
        for name in path.split('.') {
            let (inner, inside) = self.member(number, name, DEPTH)?;
            bits = bits.checked_add(inside)?;
            number = inner;
        }
        bits.is_multiple_of(8).then_some(bits / 8)
    }

    /// Type and bit offset of a member.
    fn member(&self, number: u32, name: &str, depth: u32) -> Option<(u32, u32)> {
        let head = self.head(self.underlying(number)?)?;
        if depth == 0 || !matches!(head.kind, KIND_STRUCT | KIND_UNION) {
            return None;
        }
        for index in 0..head.count {
            let at = head.at + TYPE_BYTES + index * 12;
            let member_name = self.string(word(&self.bytes, at).ok()?).ok()?;
            let inner = word(&self.bytes, at + 4).ok()?;
            let mut bits = word(&self.bytes, at + 8).ok()?;
            if head.bit_fields {
                if bits >> 24 != 0 && member_name == name {
                    return None; // a bit field: no address
                }
                bits &= 0x00ff_ffff;
            }
            if member_name == name {
                return Some((inner, bits));
            }
            if member_name.is_empty()
                && let Some((found, inside)) = self.member(inner, name, depth - 1)
            {
                return Some((found, bits.checked_add(inside)?));
            }
        }
        None
    }

    /// What a type is, behind its names and qualifiers.
    fn underlying(&self, mut number: u32) -> Option<u32> {
        for _ in 0..DEPTH {
            let head = self.head(number)?;
            if !matches!(
                head.kind,
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG
            ) {
                return Some(number);
            }
            number = head.size_or_type;
        }
        None
    }

    /// Number of parameters of a function; `None` if it is not in the types, or
    /// is there twice.
    pub fn parameters(&self, function: &str) -> Option<usize> {
        self.prototype_head(function).map(|prototype| prototype.count)
    }

    fn prototype_head(&self, function: &str) -> Option<Head> {
        if self.repeated.contains(function) {
            return None;
        }
        let prototype = self.head(self.head(*self.functions.get(function)?)?.size_or_type)?;
        (prototype.kind == KIND_FUNC_PROTO).then_some(prototype)
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u32, BtfError> {
    let chunk = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    chunk.map(|word| u32::from_ne_bytes(*word)).ok_or(BtfError::Damaged(at))
}
