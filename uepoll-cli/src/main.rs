//! The `uepoll` binary: parse, call one command, turn its result into an exit
//! code. Everything else is elsewhere.

mod command;
mod complete;
mod duration;
mod exit;
mod file;
mod kernel;
mod number;
mod options;
mod output;
mod probe;
mod snapshot;
mod source;
mod stress;
mod top;

/// Captures and records for tests: those of the core's own.
#[cfg(test)]
#[path = "../core/tests/fixture/mod.rs"]
#[expect(dead_code, reason = "the core's tests use the rest of it")]
mod core_fixture;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// See inside pollable epoll from userspace (EPOLL_USERPOLL).
#[derive(Parser)]
#[command(name = "uepoll", version, arg_required_else_help = true, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Every user-polled ring of the host, or one looked into
    List(command::list::Args),
    /// Figures of every user-polled ring, over a time or a command
    #[command(visible_alias = "record")]
    Profile(command::profile::Args),
    /// Rings by rate on the terminal, live or from a recording
    Top(command::top::Args),
    /// One line for each sampled event, wait, refused add and worker's run
    Trace(command::trace::Args),
    /// A recorded run, told again, here or elsewhere
    Report(command::report::Args),
    /// What can be seen on this host, and what to change
    Doctor(command::doctor::Args),
    /// The specification's test program, grown up: load for a ring, checked
    Stress(command::stress::Args),
    /// What a figure or an error means, or a verb's options
    Help(command::help::Args),
    /// Write the man pages into a folder
    #[command(hide = true)]
    Man(command::man::Args),
}

fn main() -> ExitCode {
    complete::answer::<Cli>();
    let result = match Cli::parse().command {
        Command::List(args) => command::list::run(args),
        Command::Profile(args) => command::profile::run(args),
        Command::Top(args) => command::top::run(args),
        Command::Trace(args) => command::trace::run(args),
        Command::Report(args) => command::report::run(args),
        Command::Doctor(args) => command::doctor::run(args),
        Command::Stress(args) => command::stress::run(args),
        Command::Help(args) => command::help::run(args, Cli::command()),
        Command::Man(args) => command::man::run(args, Cli::command()),
    };
    exit::code_of(result)
}
