//! The names of a kernel's functions as its BTF has them
//! (Documentation/bpf/btf.rst). Reads names only; anything malformed is an
//! error, never a shorter list.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const MAGIC: u32 = 0xeb9f;
const KIND_FUNC: u32 = 12;

/// The `.BTF` section of the ELF file `vmlinux`, read without the rest of it,
/// which is some hundred megabytes.
///
/// # Errors
/// If the file cannot be read, or has no such section.
pub fn section(vmlinux: &Path) -> std::io::Result<Vec<u8>> {
    let file = File::open(vmlinux)?;
    let read = |at: u64, length: u64| {
        let length = usize::try_from(length).map_err(std::io::Error::other)?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, at).map(|()| bytes)
    };
    let missing = || std::io::Error::other("it has no .BTF section");
    let header = read(0, 64)?;
    let size = half(&header, 58).ok_or_else(missing)?;
    let count = half(&header, 60).ok_or_else(missing)?;
    let names = half(&header, 62).ok_or_else(missing)? * size;
    let table = read(long(&header, 40).ok_or_else(missing)?, (size * count) as u64)?;
    // Where the section whose header is at `at` in the table lies in the file.
    let place = |at: usize| Some((long(&table, at + 24)?, long(&table, at + 32)?));
    let (strings_at, strings_length) = place(names).ok_or_else(missing)?;
    let strings = read(strings_at, strings_length)?;
    let is_btf = |at: &usize| {
        let name = word(&table, *at).and_then(|name| strings.get(name as usize..));
        name.is_some_and(|name| name.starts_with(b".BTF\0"))
    };
    let found = (0..count).map(|n| n * size).find(is_btf).and_then(place);
    let (at, length) = found.ok_or_else(missing)?;
    read(at, length)
}

/// The functions in `btf`, or `None` if it is malformed.
pub fn functions(btf: &[u8]) -> Option<BTreeSet<&str>> {
    if word(btf, 0)? & 0xffff != MAGIC {
        return None;
    }
    let header = word(btf, 4)? as usize;
    let part = |at: usize| {
        let start = header.checked_add(word(btf, at)? as usize)?;
        btf.get(start..start.checked_add(word(btf, at + 4)? as usize)?)
    };
    let (types, strings) = (part(8)?, part(16)?);
    let mut names = BTreeSet::new();
    let mut at = 0;
    while at < types.len() {
        let info = word(types, at + 4)?;
        let (kind, members) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        if kind == KIND_FUNC {
            let rest = strings.get(word(types, at)? as usize..)?;
            names.insert(std::str::from_utf8(rest.split(|byte| *byte == 0).next()?).ok()?);
        }
        at += 12 + tail(kind, members)?;
    }
    Some(names)
}

/// Bytes that follow the common part of a type.
fn tail(kind: u32, members: usize) -> Option<usize> {
    Some(match kind {
        // pointer, forward, typedef, volatile, const, restrict, function,
        // float, type tag
        2 | 7..=12 | 16 | 18 => 0,
        // integer, variable, declaration tag
        1 | 14 | 17 => 4,
        // array
        3 => 12,
        // structure, union, data section, enumeration of 64 bits
        4 | 5 | 15 | 19 => 12 * members,
        // enumeration, prototype
        6 | 13 => 8 * members,
        _ => return None,
    })
}

fn half(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes).map(usize::from)
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A prototype with one parameter, and a function of it.
    fn sample() -> Vec<u8> {
        let types: [u32; 8] = [0, 13 << 24 | 1, 0, 0, 0, 1, 12 << 24, 1];
        let strings = b"\0ep_remove\0";
        let words = [
            0x0001_eb9f,
            24,
            0,
            4 * types.len() as u32,
            4 * types.len() as u32,
            strings.len() as u32,
        ];
        let all = words.iter().chain(&types).flat_map(|word| word.to_le_bytes());
        all.chain(strings.iter().copied()).collect()
    }

    #[test]
    fn functions_are_listed_and_their_prototypes_stepped_over() {
        assert_eq!(functions(&sample()).unwrap().into_iter().collect::<Vec<_>>(), ["ep_remove"]);
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        let sample = sample();
        for length in 0..sample.len() - 1 {
            assert!(functions(&sample[..length]).is_none(), "{length} bytes");
        }
    }

    #[test]
    fn a_file_without_btf_is_refused() {
        let error = section(&std::env::current_exe().unwrap()).unwrap_err();
        assert!(error.to_string().contains("no .BTF section"), "{error}");
    }

    #[test]
    fn an_unknown_kind_is_refused() {
        let mut sample = sample();
        sample[24 + 7] = 31;
        assert!(functions(&sample).is_none());
    }
}
