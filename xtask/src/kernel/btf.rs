//! The names of a kernel's functions as its BTF has them
//! (Documentation/bpf/btf.rst). Reads names only; anything malformed is an
//! error, never a shorter list.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::Error;

const MAGIC: u32 = 0xeb9f;
const KIND_FUNC: u32 = 12;

/// Copies the `.BTF` section of `vmlinux` into the file `to`.
///
/// # Errors
/// If objcopy fails.
pub fn extract(vmlinux: &Path, to: &Path) -> Result<(), Error> {
    let out = Command::new("objcopy")
        .args(["-O", "binary", "--only-section=.BTF", "--set-section-flags", ".BTF=alloc,readonly"])
        .args([vmlinux, to])
        .output()
        .map_err(|_| Error::NotSetUp { what: "the program objcopy".to_owned() })?;
    match out.status.success() {
        true => Ok(()),
        false => Err(Error::Program {
            program: format!("objcopy {}", vmlinux.display()),
            why: out.status.to_string(),
            output: String::from_utf8_lossy(&out.stderr).trim().to_owned(),
        }),
    }
}

/// The functions in `btf`, or `None` if it is malformed.
pub fn functions(btf: &[u8]) -> Option<BTreeSet<&str>> {
    if word(btf, 0)? & 0xffff != MAGIC {
        return None;
    }
    let header = word(btf, 4)? as usize;
    let section = |at: usize| {
        let start = header.checked_add(word(btf, at)? as usize)?;
        btf.get(start..start.checked_add(word(btf, at + 4)? as usize)?)
    };
    let (types, strings) = (section(8)?, section(16)?);
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
    fn an_unknown_kind_is_refused() {
        let mut sample = sample();
        sample[24 + 7] = 31;
        assert!(functions(&sample).is_none());
    }
}
