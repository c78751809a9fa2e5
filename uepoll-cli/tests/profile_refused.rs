//! `uepoll profile` where it cannot run, as a shell sees it: exit code, one
//! sentence on stderr, nothing on stdout, no command started. What it prints
//! where it can run is tested in the virtual machine and in uepoll-core.

use std::process::{Command, Output};

fn profile(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_uepoll"))
        .arg("profile")
        .args(arguments)
        .output()
        .expect("the binary was built")
}

/// The sentence, after it was checked to be the only output.
fn sentence(output: &Output) -> String {
    assert!(output.stdout.is_empty(), "{output:?}");
    let sentence = String::from_utf8(output.stderr.clone()).expect("text");
    assert_eq!(sentence.lines().count(), 1, "{sentence}");
    assert!(sentence.starts_with("uepoll: "), "{sentence}");
    sentence
}

/// Whether this very host can run it: then there is no refusal to be seen.
fn host_is_fit() -> bool {
    profile(&["-d", "1ms"]).status.code() != Some(3)
}

#[test]
fn a_host_that_is_not_fit_is_3_and_names_the_remedy() {
    if host_is_fit() {
        return;
    }
    let output = profile(&[]);
    assert_eq!(output.status.code(), Some(3));
    sentence(&output);
}

#[test]
fn a_command_is_not_started_when_nothing_is_attached() {
    if host_is_fit() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let witness = folder.path().join("ran");
    let output = profile(&["--", "touch", witness.to_str().expect("text")]);
    assert_eq!(output.status.code(), Some(125));
    sentence(&output);
    assert!(!witness.exists());
}
