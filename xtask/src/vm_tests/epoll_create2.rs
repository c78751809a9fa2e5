//! The system call of the port, called by hand: which arguments it takes, and
//! that a ring is an epoll file.

use anyhow::ensure;
use uepoll_common::abi::{EPOLL_USERPOLL, MAX_ITEMS, NR_EPOLL_CREATE2};

use super::{Bench, table};
use crate::kernel::Flavour;

table![
    epoll_create2_makes_a_ring,
    epoll_create2_makes_a_ring_with_inline_helpers,
    epoll_create2_refuses_what_the_specification_refuses,
];

/// `epoll_create2(flags, size)` in Perl, which every Debian has: the descriptor,
/// or the name of the error.
fn create(flags: u32, size: u32) -> String {
    format!(
        "my $fd = syscall({NR_EPOLL_CREATE2}, {flags}, {size}); \
         use Errno; my ($name) = grep {{ $!{{$_}} }} keys %!; \
         print $fd < 0 ? $name : \"fd\", \"\\n\";"
    )
}

fn epoll_create2_makes_a_ring(bench: &Bench) -> anyhow::Result<()> {
    let script = create(EPOLL_USERPOLL, 8) + "print readlink(\"/proc/self/fd/$fd\"), \"\\n\";";
    let stdout = bench.run(&["perl", "-e", &script])?.success()?;
    ensure!(stdout == "fd\nanon_inode:[eventpoll]\n", "got {stdout:?}");
    Ok(())
}

fn epoll_create2_makes_a_ring_with_inline_helpers(bench: &Bench) -> anyhow::Result<()> {
    epoll_create2_makes_a_ring(&bench.on(Flavour::Inline)?)
}

fn epoll_create2_refuses_what_the_specification_refuses(bench: &Bench) -> anyhow::Result<()> {
    let cases = [
        (EPOLL_USERPOLL, MAX_ITEMS, "fd"),
        (EPOLL_USERPOLL, MAX_ITEMS + 1, "EINVAL"),
        (EPOLL_USERPOLL, 0, "EINVAL"),
        (1 << 30, 8, "EINVAL"),
        // Without USERPOLL the size means nothing.
        (0, 0, "fd"),
    ];
    let script: String =
        cases.iter().map(|(flags, size, _)| format!("{{ {} }}", create(*flags, *size))).collect();
    let stdout = bench.run(&["perl", "-e", &script])?.success()?;
    let expected: String = cases.iter().map(|(_, _, answer)| format!("{answer}\n")).collect();
    ensure!(stdout == expected, "got {stdout:?}, not {expected:?}");
    Ok(())
}
