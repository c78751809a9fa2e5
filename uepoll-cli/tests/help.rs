//! `uepoll help`: needs no kernel and no right, so it is tried as a shell does.

use std::process::{Command, Output};

fn help(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_uepoll"))
        .arg("help")
        .args(arguments)
        .env("COLUMNS", "80")
        .output()
        .expect("the binary was built")
}

/// What stdout says, after it was checked to be all and to fit into 80 columns.
fn text(arguments: &[&str]) -> String {
    let output = help(arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let long = text.lines().find(|line| line.chars().count() > 80);
    assert_eq!(long, None, "longer than 80 columns");
    text
}

#[test]
fn help_alone_lists_verbs_and_topics() {
    let text = text(&[]);
    for word in ["profile", "stress", "Topics", "residency", "ESTALE"] {
        assert!(text.contains(word), "{word} is not in {text}");
    }
}

#[test]
fn every_topic_that_is_listed_has_its_definition() {
    let all = text(&[]);
    let (_, topics) = all.split_once("Topics").expect("the list");
    let topics: Vec<&str> = topics.lines().skip(1).flat_map(str::split_whitespace).collect();
    assert!(topics.len() > 20, "{topics:?}");
    for topic in topics {
        assert!(text(&[topic]).len() > topic.len() + 10, "{topic} has no definition");
    }
}

#[test]
fn a_verb_has_its_options_told() {
    let text = text(&["profile"]);
    assert!(text.contains("Usage: uepoll profile [OPTIONS] [-- <CMD>...]"), "{text}");
    assert!(text.contains("--cgroup <PATH>"), "{text}");
}

#[test]
fn a_verb_offers_no_option_that_it_refuses() {
    let trace = text(&["trace"]);
    for option in ["--interval", "--verbose", "--color", "uepoll.report/1"] {
        assert!(!trace.contains(option), "{option} is in {trace}");
    }
    assert!(trace.contains("uepoll.trace/1"), "{trace}");
    let top = text(&["top"]);
    for option in ["--json", "--verbose"] {
        assert!(!top.contains(option), "{option} is in {top}");
    }
    assert!(top.contains("How often figures are shown"), "{top}");
}

#[test]
fn an_unknown_topic_is_2_and_the_nearest_are_named() {
    let output = help(&["residancy"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let message = String::from_utf8(output.stderr).expect("text");
    assert!(message.contains("`uepoll help residency`"), "{message}");
}
