//! What a developer of uepoll runs: `cargo xtask COMMAND`. Parses, calls one
//! command, turns its result into an exit code.

mod bpf_toolchain;
mod command;
mod kernel;
mod paths;
mod span;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Build, try and test uepoll.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build one of our kernels, or find it in the cache
    Kernel(command::kernel::Args),
    /// Run a command in a virtual machine with one of our kernels
    Vm(command::vm::Args),
}

fn main() -> ExitCode {
    let (result, failure) = match Cli::parse().command {
        Command::Kernel(args) => (command::kernel::run(args), 1),
        Command::Vm(args) => (command::vm::run(args), vm::FAILED),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(failure)
        }
    }
}
