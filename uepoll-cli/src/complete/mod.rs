//! Completion of a command line while it is typed: the shell asks this binary
//! (`COMPLETE=bash uepoll` prints what makes it ask), so that rings, processes
//! and names are those of the moment. clap knows the rest.

mod bash;

use std::collections::BTreeSet;
use std::ffi::OsStr;

use clap::{Command, CommandFactory};
use clap_complete::env::{Fish, Shells, Zsh};
use clap_complete::{ArgValueCompleter, CompleteEnv, CompletionCandidate};
use uepoll_core::capture::Holder;
use uepoll_core::list::Ring;
use uepoll_core::render::{Charset, escaped};

use crate::snapshot::{scan, series};

/// Answers the shell and ends the process, if it is the shell that asks.
pub fn answer<C: CommandFactory>() {
    CompleteEnv::with_factory(|| alive(C::command()))
        .bin("uepoll")
        .shells(Shells(&[&bash::Bash, &Fish, &Zsh]))
        .complete();
}

/// The command line's definition with what is known at this moment. By the names
/// of options, so that every verb that has one completes it.
fn alive(mut command: Command) -> Command {
    let verbs: Vec<String> =
        command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    let topics: Vec<String> = verbs.iter().cloned().chain(uepoll_core::help::topics()).collect();
    for verb in verbs {
        let topics = topics.clone();
        command = command.mut_subcommand(verb, |verb| with_values(verb, topics));
    }
    command
}

fn with_values(mut verb: Command, topics: Vec<String>) -> Command {
    let options: Vec<String> =
        verb.get_arguments().map(|option| option.get_id().to_string()).collect();
    for option in options {
        let completer = match option.as_str() {
            "ring" => ArgValueCompleter::new(|typed: &OsStr| fitting(typed, rings())),
            "pid" => ArgValueCompleter::new(|typed: &OsStr| fitting(typed, processes())),
            "comm" => ArgValueCompleter::new(|typed: &OsStr| fitting(typed, names())),
            "topic" => {
                let topics = topics.clone();
                ArgValueCompleter::new(move |typed: &OsStr| {
                    fitting(typed, topics.iter().map(|topic| (topic.clone(), None)))
                })
            }
            _ => continue,
        };
        verb = verb.mut_arg(option, |option| option.add(completer));
    }
    verb
}

/// What begins with what was typed.
fn fitting(
    typed: &OsStr,
    all: impl IntoIterator<Item = (String, Option<String>)>,
) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    all.into_iter()
        .filter(|(value, _)| value.starts_with(&*typed))
        .map(|(value, words)| CompletionCandidate::new(value).help(words.map(Into::into)))
        .collect()
}

/// The rings that we may see; a shell that waits for an answer wants no message.
fn found() -> Vec<Ring> {
    if !series::is_present() {
        return Vec::new();
    }
    scan::scan(None).map(|listing| listing.rings).unwrap_or_default()
}

fn holders(ring: &Ring) -> impl Iterator<Item = &Holder> {
    [&ring.holder].into_iter().chain(&ring.others)
}

/// A process's name as a terminal may show it.
fn shown(comm: &str) -> String {
    escaped(comm, Charset::Ascii, 32)
}

/// Every ring as `PID:FD`, by its first descriptor.
fn rings() -> Vec<(String, Option<String>)> {
    let named = |ring: &Ring| {
        let words = format!("{}, {} items", shown(&ring.holder.comm), ring.state.capacity);
        (format!("{}:{}", ring.holder.pid, ring.holder.fd), Some(words))
    };
    found().iter().map(named).collect()
}

/// The processes that hold rings.
fn processes() -> Vec<(String, Option<String>)> {
    let found = found();
    let holders: BTreeSet<(u32, String)> =
        found.iter().flat_map(holders).map(|holder| (holder.pid, shown(&holder.comm))).collect();
    holders.into_iter().map(|(pid, comm)| (pid.to_string(), Some(comm))).collect()
}

/// Their names; none that a shell could take for something else.
fn names() -> Vec<(String, Option<String>)> {
    let found = found();
    let plain = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-_.+".contains(c))
    };
    let names: BTreeSet<&str> =
        found.iter().flat_map(holders).map(|holder| holder.comm.as_str()).collect();
    names.into_iter().filter(|name| plain(name)).map(|name| (name.to_owned(), None)).collect()
}
