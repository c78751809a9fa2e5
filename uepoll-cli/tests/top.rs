//! `uepoll top` where it cannot draw, as a shell sees it: exit code, one
//! sentence on stderr, nothing on stdout. What it draws is tested beside it, and
//! on a terminal in the virtual machine.

use std::process::{Command, Output};

/// Without a terminal: its stdout is a pipe.
fn top(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_uepoll"));
    command.arg("top").args(arguments).env("TERM", "xterm").output().expect("the binary was built")
}

/// The sentence of a wrong command line, after it was checked to be the only
/// output.
fn refused(arguments: &[&str]) -> String {
    let output = top(arguments);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn without_a_terminal_it_says_what_prints_the_same() {
    for (arguments, instead) in
        [(&[][..], "`uepoll profile -i 1`"), (&["--from", "run.uepoll"], "`uepoll report FILE`")]
    {
        let sentence = refused(arguments);
        assert_eq!(sentence.lines().count(), 1, "{sentence}");
        assert!(sentence.contains(instead), "{sentence}");
    }
}

#[test]
fn what_is_for_printed_reports_is_refused() {
    for option in ["--json", "-v"] {
        let sentence = refused(&[option]);
        assert!(sentence.starts_with(&format!("uepoll: {option} is for reports")), "{sentence}");
    }
}

#[test]
fn a_recording_and_what_runs_are_not_shown_at_once() {
    for other in [&["-p", "1"][..], &["-d", "1"], &["-i", "1"], &["-F", "9"], &["--strict"]] {
        let sentence = refused(&[&["--from", "run.uepoll"], other].concat());
        assert!(sentence.contains("cannot be used with"), "{sentence}");
    }
}
