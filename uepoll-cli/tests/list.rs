//! `uepoll list`, the man pages and completions on whatever host runs the tests.
//! On kernels with rings they are tested in the virtual machine.

use std::process::{Command, Output};

fn uepoll(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_uepoll"));
    command.args(arguments).env_remove("COMPLETE");
    command
}

fn list(arguments: &[&str]) -> Output {
    uepoll(&[&["list"], arguments].concat()).output().expect("the binary was built")
}

#[test]
fn a_kernel_without_the_series_is_said_to_have_no_ring_and_why() {
    let output = list(&[]);
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        // A kernel that carries the series.
        Some(0) => assert!(said.is_empty(), "{said}"),
        Some(3) => {
            assert!(said.contains("does not carry EPOLL_USERPOLL"), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
            assert!(output.stdout.is_empty());
        }
        code => panic!("{code:?}: {said}"),
    }
}

#[test]
fn wrong_words_are_a_matter_of_usage() {
    for arguments in [&["4242"][..], &["1:2", "-p", "1"], &["-p", "0"], &["--comm", ""]] {
        let output = list(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn each_verb_has_a_man_page_with_its_options() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("text");
    let output = uepoll(&["man", path]).output().expect("the binary was built");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for verb in ["list", "profile", "doctor", "stress", "help"] {
        let page = folder.path().join(format!("uepoll-{verb}.1"));
        let text = std::fs::read_to_string(&page).expect("a page");
        assert!(text.contains(".SH OPTIONS"), "{verb}: {text}");
    }
    let text = std::fs::read_to_string(folder.path().join("uepoll.1")).expect("a page");
    assert!(text.contains("EPOLL_USERPOLL") && !text.contains("uepoll\\-man"), "{text}");
}

#[test]
fn each_shell_is_told_how_to_ask() {
    for shell in ["bash", "zsh", "fish"] {
        let output = uepoll(&[]).env("COMPLETE", shell).output().expect("the binary was built");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(!output.stdout.is_empty(), "{shell}");
    }
}

#[test]
fn a_shell_that_asks_is_answered() {
    for (words, expected) in [
        (&["uepoll", "help", "ESTA"][..], "ESTALE"),
        (&["uepoll", "prof"], "profile"),
        (&["uepoll", "list", "--wa"], "--watch"),
    ] {
        let index = (words.len() - 1).to_string();
        let output = uepoll(&["--"])
            .args(words)
            .env("COMPLETE", "bash")
            .env("_CLAP_COMPLETE_INDEX", index)
            .output()
            .expect("the binary was built");
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{words:?}");
    }
}
