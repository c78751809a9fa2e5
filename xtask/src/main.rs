//! What a developer of uepoll runs: `cargo xtask COMMAND`. Parses, calls one
//! command, turns its result into an exit code.

mod accuracy;
mod bpf_toolchain;
mod command;
mod kernel;
mod paths;
mod setup;
mod span;
mod vm;
mod vm_tests;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exit code when the machine lacks something that only its owner can bring.
const CANNOT_RUN: u8 = 3;

/// Build, try and test uepoll.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// From a bare machine to a report on a real ring
    Demo,
    /// Everything that CI runs, on the host and in the virtual machine
    Test(command::test::Args),
    /// The long runs behind what we claim, into docs/proof.md
    Prove,
    /// What watching takes beside many rings, into docs/memory.md
    Memory,
    /// The tool against the truth of many runs, into docs/accuracy.md
    Accuracy(command::accuracy::Args),
    /// The page, the trace and the log, looked at with the tools they are for
    Formats(command::formats::Args),
    /// The recordings in examples/, made anew in the virtual machine
    Examples,
    /// A hundred recorders killed, a hundred files read
    Kills,
    /// Install what is missing on this machine
    Setup,
    /// Build the eBPF object alone and show what its compiler says
    Ebpf(command::ebpf::Args),
    /// Build one of our kernels, or find it in the cache
    Kernel(command::kernel::Args),
    /// Run a command in a virtual machine with one of our kernels
    Vm(command::vm::Args),
}

fn main() -> ExitCode {
    let (result, failure) = match Cli::parse().command {
        Command::Demo => (command::demo::run(), 1),
        Command::Test(args) => (command::test::run(args), 1),
        Command::Prove => (command::prove::run(), 1),
        Command::Memory => (command::memory::run(), 1),
        Command::Accuracy(args) => (command::accuracy::run(args), 1),
        Command::Formats(args) => (command::formats::run(args), 1),
        Command::Examples => (command::examples::run(), 1),
        Command::Kills => (command::kills::run(), 1),
        Command::Setup => (command::setup::run(), 1),
        Command::Ebpf(args) => (command::ebpf::run(args), 1),
        Command::Kernel(args) => (command::kernel::run(args), 1),
        Command::Vm(args) => (command::vm::run(args), vm::FAILED),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("xtask: {error:#}");
            let ours = error.downcast_ref::<setup::Error>();
            let yourself = matches!(ours, Some(setup::Error::Yourself { .. }));
            ExitCode::from(if yourself { CANNOT_RUN } else { failure })
        }
    }
}
