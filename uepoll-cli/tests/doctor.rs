//! `uepoll doctor` on whatever host runs the tests: exit code, streams, form.
//! Its verdicts on kernels of which the truth is known are tested in the virtual
//! machine, their roll-up in uepoll-core.

use std::process::{Command, Output};

fn doctor(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_uepoll"))
        .arg("doctor")
        .args(arguments)
        .output()
        .expect("the binary was built")
}

fn told(output: &Output) -> serde_json::Value {
    assert!(output.stderr.is_empty(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn the_exit_code_is_the_verdict() {
    let output = doctor(&["--json"]);
    let told = told(&output);
    assert_eq!(told["schema"], "uepoll.doctor/1");
    let code = match told["verdict"].as_str().expect("a word") {
        "fine" => 0,
        "degraded" => 1,
        "cannot_run" => 3,
        other => panic!("no verdict: {other}"),
    };
    assert_eq!(output.status.code(), Some(code));
}

#[test]
fn whatever_is_not_right_comes_with_what_to_do() {
    let told = told(&doctor(&["--json"]));
    for check in told["checks"].as_array().expect("checks") {
        let wrong = ["degraded", "missing"].contains(&check["verdict"].as_str().expect("a word"));
        assert!(!wrong || check["do"].is_string(), "{check}");
    }
    for point in told["points"].as_array().expect("points") {
        assert_eq!(point["lost"].is_string(), point["do"].is_string(), "{point}");
    }
}

#[test]
fn a_kernel_without_the_series_is_told_so_and_asked_for_nothing_else() {
    let told = told(&doctor(&["--json"]));
    if told["series"]["present"] != false {
        return;
    }
    let obstacles = told["obstacles"].as_array().expect("obstacles");
    assert_eq!(obstacles.len(), 1, "{obstacles:?}");
    assert!(obstacles[0].to_string().contains("does not carry"), "{obstacles:?}");
    assert_eq!(told["points"].as_array().map(Vec::len), Some(0));
    let text = String::from_utf8(doctor(&[]).stdout).expect("text");
    assert!(text.contains("cannot run: this kernel"), "{text}");
}

#[test]
fn the_text_is_for_80_columns() {
    let output = doctor(&["--probe-kind", "kprobe"]);
    let text = String::from_utf8(output.stdout).expect("text");
    // A word is not broken: the path of this test's binary may be longer.
    let long = |line: &&str| line.chars().count() > 80 && line.trim().contains(' ');
    assert_eq!(text.lines().find(long), None);
}

#[test]
fn what_is_no_kind_of_probe_is_2() {
    assert_eq!(doctor(&["--probe-kind", "magic"]).status.code(), Some(2));
}
