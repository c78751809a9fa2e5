//! Where a program carries the probe `uepoll:spin_end`: read from its ELF
//! notes (docs/spin-probe.md). Pure; attaching to what is found is elsewhere.
//!
//! The file is another's: whatever is wrong in it gives fewer probes, never a
//! panic.

use std::collections::BTreeSet;
use std::fs::File;

use object::elf::{EM_X86_64, FileHeader64, PF_X, PT_LOAD, SHT_NOTE};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, SectionTable};
use object::{Endianness, ReadCache, ReadRef};
use uepoll_common::consumer::spin_probe::{ARGUMENTS, NAME, PROVIDER};

/// Type of the notes that name probes.
const NT_STAPSDT: u32 = 3;
/// Their owner.
const OWNER: &[u8] = b"stapsdt";
/// Section of the byte by which a moved program's notes are put right.
const BASE_SECTION: &[u8] = b".stapsdt.base";
/// Most probes that are looked for: a consumer has one for each place where
/// its compiler put the spin loop, a few at most.
const MOST_PROBES: usize = 64;

/// So many bytes of notes are looked into, of all sections together (they may
/// lie over each other): each of ours takes 80 bytes.
const MOST_NOTE_BYTES: u64 = 1 << 20;
/// A program with more sections is not looked into.
const MOST_SECTIONS: usize = 1 << 16;

type Header = FileHeader64<Endianness>;

/// Offsets in the program `file`, ascending, at which its spin probes are; none
/// if it has none, or is no x86-64 program. At most 64. Only what is needed is
/// read: programs are large, their notes are not.
///
/// A probe counts if its note is by `stapsdt`, its provider, name and argument
/// string are exactly those of `uepoll_common`'s consumer, and its address is
/// in a segment that is executed.
pub fn spin_probes_of(file: File) -> Vec<u64> {
    let cache = ReadCache::new(file);
    // An unreadable file and one without probes are the same to a caller that
    // looks for probes.
    offsets(&cache).unwrap_or_default().into_iter().collect()
}

fn offsets<'data, R: ReadRef<'data>>(elf: R) -> object::Result<BTreeSet<u64>> {
    let header = Header::parse(elf)?;
    let endian = header.endian()?;
    let mut offsets = BTreeSet::new();
    if header.e_machine(endian) != EM_X86_64 {
        return Ok(offsets);
    }
    // A larger table than any program has would be read whole, into memory.
    if header.shnum(endian, elf)? > MOST_SECTIONS {
        return Ok(offsets);
    }
    let segments = header.program_headers(endian, elf)?;
    let sections = header.sections(endian, elf)?;
    let base = base_address(&sections, endian);
    let mut left = MOST_NOTE_BYTES;
    for section in sections.iter().filter(|section| section.sh_type(endian) == SHT_NOTE) {
        // Too large to be looked into: a smaller one may yet come.
        let Some(then) = left.checked_sub(section.sh_size(endian)) else { continue };
        left = then;
        // What is no note section, or a broken one, holds no notes.
        let Ok(Some(mut notes)) = section.notes(endian, elf) else { continue };
        while let Ok(Some(note)) = notes.next() {
            if note.name() != OWNER || note.n_type(endian) != NT_STAPSDT {
                continue;
            }
            let Some(probe) = Probe::parse(note.desc()) else { continue };
            let address = probe.address_with(base);
            let found = segments.iter().find_map(|segment| file_offset(segment, endian, address));
            offsets.extend(found);
            if offsets.len() >= MOST_PROBES {
                return Ok(offsets);
            }
        }
    }
    Ok(offsets)
}

/// Where the base section is now; `None` if there is none.
fn base_address<'data, R: ReadRef<'data>>(
    sections: &SectionTable<'data, Header, R>,
    endian: Endianness,
) -> Option<u64> {
    sections
        .iter()
        .find(|section| sections.section_name(endian, *section) == Ok(BASE_SECTION))
        .map(|section| section.sh_addr(endian))
}

/// Offset in the file of `address`, if `segment` is executed and holds it.
fn file_offset(
    segment: &<Header as FileHeader>::ProgramHeader,
    endian: Endianness,
    address: u64,
) -> Option<u64> {
    if segment.p_type(endian) != PT_LOAD || segment.p_flags(endian) & PF_X == 0 {
        return None;
    }
    let into = address.checked_sub(segment.p_vaddr(endian))?;
    if into >= segment.p_filesz(endian) {
        return None;
    }
    segment.p_offset(endian).checked_add(into)
}

/// The note of one of our probes.
struct Probe {
    /// Where it is, as of linking.
    address: u64,
    /// Where the base was then; 0 if the linker dropped it.
    base: u64,
}

impl Probe {
    /// `None` if the note is another probe's.
    fn parse(description: &[u8]) -> Option<Self> {
        let (address, rest) = description.split_first_chunk()?;
        let (base, rest) = rest.split_first_chunk()?;
        let (_semaphore, rest) = rest.split_first_chunk::<8>()?;
        let mut strings = rest.split(|byte| *byte == 0);
        for expected in [PROVIDER, NAME, ARGUMENTS] {
            if strings.next() != Some(expected.as_bytes()) {
                return None;
            }
        }
        // The last string must have its end, too.
        strings.next()?;
        Some(Self { address: u64::from_le_bytes(*address), base: u64::from_le_bytes(*base) })
    }

    /// Its address in a program whose base is at `base` now.
    fn address_with(&self, base: Option<u64>) -> u64 {
        match base {
            Some(base) if self.base != 0 => self.address.wrapping_add(base.wrapping_sub(self.base)),
            _ => self.address,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spin_probes(elf: &[u8]) -> Vec<u64> {
        offsets(elf).unwrap_or_default().into_iter().collect()
    }

    /// An x86-64 file with one executed segment, one section of notes and,
    /// if `base` is given, a base section at that address.
    fn elf(description: &[u8], base: Option<u64>) -> Vec<u8> {
        let names = b"\0.note.stapsdt\0.stapsdt.base\0.shstrtab\0";
        let mut note = Vec::new();
        for word in [8, description.len() as u32, 3] {
            note.extend(word.to_le_bytes());
        }
        note.extend(b"stapsdt\0");
        note.extend(description);
        note.resize(note.len().next_multiple_of(4), 0);
        let (note_at, names_at) = (64 + 56, 64 + 56 + note.len());
        let sections_at = names_at + names.len();

        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        file.extend([2u16, EM_X86_64].iter().flat_map(|half| half.to_le_bytes()));
        file.extend(1u32.to_le_bytes());
        file.extend([0, 64, sections_at as u64].iter().flat_map(|word| word.to_le_bytes()));
        file.extend(0u32.to_le_bytes());
        file.extend([64u16, 56, 1, 64, 4, 3].iter().flat_map(|half| half.to_le_bytes()));
        // Executed: 0x1000 bytes at 0x400000, from 0x200 of the file.
        file.extend([PT_LOAD, PF_X].iter().flat_map(|word| word.to_le_bytes()));
        let segment = [0x200u64, 0x400000, 0, 0x1000, 0x1000, 0x1000];
        file.extend(segment.iter().flat_map(|word| word.to_le_bytes()));
        file.extend(&note);
        file.extend(names);
        let base_type = if base.is_some() { 1 } else { 0 };
        let mut section = |name: u32, kind: u32, address: u64, at: usize, bytes: usize| {
            file.extend([name, kind].iter().flat_map(|word| word.to_le_bytes()));
            let words = [0, address, at as u64, bytes as u64, 0, 4, 0];
            file.extend(words.iter().flat_map(|word: &u64| word.to_le_bytes()));
        };
        section(0, 0, 0, 0, 0);
        section(1, 7, 0, note_at, note.len());
        section(if base.is_some() { 15 } else { 0 }, base_type, base.unwrap_or(0), 0, 0);
        section(29, 3, 0, names_at, names.len());
        file
    }

    fn description(address: u64, base: u64, strings: &[u8]) -> Vec<u8> {
        let words = [address, base, 0].map(u64::to_le_bytes);
        [words.as_flattened(), strings].concat()
    }

    const OURS: &[u8] = b"uepoll\0spin_end\0-4@%edi 8@%rsi\0";

    #[test]
    fn an_address_becomes_an_offset_by_the_segment_that_holds_it() {
        assert_eq!(spin_probes(&elf(&description(0x400010, 0, OURS), None)), [0x210]);
        for outside in [0, 0x3fffff, 0x401000, u64::MAX] {
            assert_eq!(spin_probes(&elf(&description(outside, 0, OURS), None)), [0; 0]);
        }
    }

    #[test]
    fn a_program_that_was_moved_is_put_right_by_its_base() {
        let moved = elf(&description(0x10, 0x500, OURS), Some(0x400500));
        assert_eq!(spin_probes(&moved), [0x210]);
        let dropped = elf(&description(0x400010, 0, OURS), Some(0x400500));
        assert_eq!(spin_probes(&dropped), [0x210], "no base at linking: nothing to go by");
    }

    #[test]
    fn sections_that_lie_over_each_other_are_not_read_without_end() {
        let large = 1usize << 19;
        for (times, found) in [(1, 1), (2, 0)] {
            // The whole file as a section of notes, so many times; then ours.
            let mut file = elf(&description(0x400010, 0, OURS), None);
            let sections_at = usize::from_le_bytes(*file[0x28..].first_chunk().unwrap());
            let ours = file[sections_at + 64..][..64].to_vec();
            let names = file[sections_at + 3 * 64..][..64].to_vec();
            let mut whole = ours.clone();
            whole[24..32].copy_from_slice(&0u64.to_le_bytes());
            whole[32..40].copy_from_slice(&(large as u64).to_le_bytes());
            file.truncate(sections_at);
            file.extend(whole.repeat(times));
            file.extend(ours);
            file.extend(names);
            file[0x3c..0x3e].copy_from_slice(&(times as u16 + 2).to_le_bytes());
            file[0x3e..0x40].copy_from_slice(&(times as u16 + 1).to_le_bytes());
            file.resize(large, 0);
            assert_eq!(spin_probes(&file).len(), found, "{times}");
        }
    }

    #[test]
    fn another_probe_or_other_arguments_are_not_ours() {
        for strings in [
            &b"libc\0spin_end\0-4@%edi 8@%rsi\0"[..],
            b"uepoll\0spin_begin\0-4@%edi 8@%rsi\0",
            b"uepoll\0spin_end\0-4@%eax 8@%rsi\0",
            b"uepoll\0spin_end\0-4@%edi 8@%rsi",
            b"uepoll\0spin_end\0",
            b"",
        ] {
            assert_eq!(spin_probes(&elf(&description(0x400010, 0, strings), None)), [0; 0]);
        }
    }

    #[test]
    fn a_broken_file_has_no_probes_and_no_panic() {
        let whole = elf(&description(0x400010, 0x10, OURS), Some(0x10));
        assert_eq!(spin_probes(&whole).len(), 1);
        for cut in 0..whole.len() {
            spin_probes(&whole[..cut]);
        }
        for at in 0..whole.len() {
            for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                let mut file = whole.clone();
                file[at] = value;
                spin_probes(&file);
            }
        }
        assert_eq!(spin_probes(b"#!/bin/sh\n"), [0; 0]);
    }

    /// Whether a `nop` is where the probe is said to be.
    #[cfg(target_arch = "x86_64")]
    fn are_nops(elf: &[u8], probes: &[u64]) -> bool {
        probes.iter().all(|offset| elf.get(*offset as usize) == Some(&0x90))
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn this_program_carries_the_probe_as_stress_is_in_it() {
        let path = std::env::current_exe().unwrap();
        let own = std::fs::read(&path).unwrap();
        let probes = spin_probes_of(File::open(&path).unwrap());
        assert_eq!(probes, spin_probes(&own));
        assert!(!probes.is_empty());
        assert!(are_nops(&own, &probes), "{probes:x?}");
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn a_consumer_in_c_carries_it_by_the_header_in_docs() {
        let folder = tempfile::tempdir().unwrap();
        let (source, program) = (folder.path().join("spin.c"), folder.path().join("spin"));
        let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");
        let text = "#include \"uepoll-spin.h\"\n\
                    int main(int argc, char **argv)\n{\n\
                    \tuepoll_spin_end(argc, (unsigned long)argc + 5);\n\
                    \tuepoll_spin_end(argc + 1, 7);\n\treturn 0;\n}\n";
        std::fs::write(&source, text).unwrap();
        for options in [&["-O0"][..], &["-O2"], &["-O2", "-fno-pie", "-no-pie"]] {
            let built = std::process::Command::new("cc")
                .args(["-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", "-I", docs, "-o"])
                .arg(&program)
                .arg(&source)
                .args(options)
                .status()
                .unwrap();
            assert!(built.success(), "{options:?}");
            assert!(std::process::Command::new(&program).status().unwrap().success());
            let elf = std::fs::read(&program).unwrap();
            let probes = spin_probes(&elf);
            assert_eq!(probes.len(), 2, "{options:?}");
            assert!(are_nops(&elf, &probes), "{probes:x?}");
        }
    }
}
