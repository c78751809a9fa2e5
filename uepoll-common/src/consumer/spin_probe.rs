//! The probe at the end of a spin episode: a `nop` and an ELF note that names
//! it, as SystemTap's `sys/sdt.h` lays them out, so that a tracer can put a
//! uprobe there. What it is for other consumers: docs/spin-probe.md.

use std::os::fd::RawFd;

/// Provider of the probe, as its note has it.
pub const PROVIDER: &str = "uepoll";
/// Name of the probe, as its note has it.
pub const NAME: &str = "spin_end";
/// Where the probe's arguments are, as its note has it: epfd (signed, 4 bytes)
/// in %edi, iterations (unsigned, 8 bytes) in %rsi. Pinned to registers, so
/// that a reader needs no parser of operands.
pub const ARGUMENTS: &str = "-4@%edi 8@%rsi";

/// Tells whoever listens that the polling of the empty ring `epfd` has ended
/// after `iterations` polls. One `nop` where nobody does; nothing at all on a
/// machine other than x86-64.
#[inline(always)]
pub(super) fn spin_end(epfd: RawFd, iterations: u64) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: one `nop`; two registers are read, none is written, nor memory,
    // flags or stack. What is assembled into other sections is not executed.
    unsafe {
        std::arch::asm!(
            "990:",
            "nop",
            // The note: sizes of owner and description, type 3; the owner; the
            // description. Not allocated, so it costs no memory at run time,
            // and the linker resolves its addresses. Aligned by 4, as notes are.
            ".pushsection .note.stapsdt, \"\", \"note\"",
            ".balign 4",
            ".4byte 992f - 991f, 994f - 993f, 3",
            "991:",
            ".asciz \"stapsdt\"",
            "992:",
            ".balign 4",
            "993:",
            // Where the probe is, and where the base was when that was written:
            // a tool that moves the program afterwards (prelink) moves only
            // the base. Last the semaphore, of which there is none.
            ".8byte 990b",
            ".8byte _.stapsdt.base",
            ".8byte 0",
            ".asciz \"uepoll\"",
            ".asciz \"spin_end\"",
            ".asciz \"-4@%edi 8@%rsi\"",
            "994:",
            ".balign 4",
            ".popsection",
            // The base: one byte, once in a program, however many probes. R:
            // retained, although nothing that is loaded refers to it.
            ".ifndef _.stapsdt.base",
            ".pushsection .stapsdt.base, \"aGR\", \"progbits\", .stapsdt.base, comdat",
            ".weak _.stapsdt.base",
            ".hidden _.stapsdt.base",
            "_.stapsdt.base:",
            ".space 1",
            ".size _.stapsdt.base, 1",
            ".popsection",
            ".endif",
            in("rdi") i64::from(epfd),
            in("rsi") iterations,
            options(att_syntax, nomem, nostack, preserves_flags),
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _nobody_can_listen = (epfd, iterations);
}
