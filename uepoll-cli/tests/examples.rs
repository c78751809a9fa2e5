//! The recordings in examples/, as anybody would try them first: without root,
//! without the kernel, in every form.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const EXAMPLES: [&str; 3] = ["healthy", "bursty-offload", "stuck"];

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(format!("{name}.uepoll"))
}

fn report(name: &str, arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_uepoll"))
        .arg("report")
        .arg(example(name))
        .args(arguments)
        .output()
        .expect("the binary was built");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{name} {arguments:?}: {stderr}");
    output
}

fn text(name: &str, arguments: &[&str]) -> String {
    String::from_utf8(report(name, arguments).stdout).expect("text")
}

#[test]
fn every_example_is_told_in_every_form() {
    for name in EXAMPLES {
        for (form, begins) in [
            ("text", &b""[..]),
            ("json", b"{"),
            ("html", b"<!"),
            ("perfetto", b"\n"),
            ("hlog", b"#"),
        ] {
            let told = report(name, &["-f", form]).stdout;
            assert!(told.len() > 500 && told.starts_with(begins), "{name} as {form}");
        }
    }
}

#[test]
fn the_books_of_every_example_balance() {
    for name in EXAMPLES {
        let text = text(name, &["--strict"]);
        let last = text.lines().last().expect("never empty");
        assert!(last.contains("books balance   loss none"), "{name}: {last}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{name}: {text}");
    }
}

#[test]
fn each_example_shows_what_it_is_called_by() {
    assert!(text("healthy", &[]).contains("none needed"));
    assert!(text("bursty-offload", &[]).contains(" runs\n"));
    assert!(text("stuck", &[]).contains("still in the ring at the end"));
}

#[test]
fn a_report_goes_into_a_file_but_never_over_the_recording() {
    let folder = tempfile::TempDir::new().expect("a folder for tests");
    let path = folder.path().join("page.html");
    let output = path.to_string_lossy().into_owned();
    assert!(text("stuck", &["-f", "html", "-o", &output]).is_empty());
    assert!(std::fs::metadata(&path).expect("written").len() > 10_000);
    let copy = folder.path().join("copy.uepoll");
    std::fs::copy(example("stuck"), &copy).expect("copied");
    let refused = Command::new(env!("CARGO_BIN_EXE_uepoll"))
        .arg("report")
        .arg(&copy)
        .arg("-o")
        .arg(&copy)
        .output()
        .expect("the binary was built");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is the recording itself"));
    assert_eq!(
        std::fs::read(&copy).expect("there"),
        std::fs::read(example("stuck")).expect("there")
    );
}

#[test]
fn a_place_that_takes_no_file_is_a_matter_of_usage() {
    for place in ["/nowhere/page.html", "/"] {
        let mut uepoll = Command::new(env!("CARGO_BIN_EXE_uepoll"));
        let refused = uepoll.arg("report").arg(example("stuck")).args(["-o", place]);
        let refused = refused.output().expect("the binary was built");
        assert_eq!(refused.status.code(), Some(2), "{place}: {refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains(place), "{refused:?}");
    }
}

#[test]
fn a_number_is_not_broken_at_the_end_of_a_line() {
    for name in EXAMPLES {
        let text = text(name, &["-v"]);
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.windows(2) {
            let next = pair[1].trim_start();
            let group = next.bytes().take_while(u8::is_ascii_digit).count() == 3;
            let ends_with_number = pair[0].ends_with(|c: char| c.is_ascii_digit());
            assert!(!(group && ends_with_number), "{name}: {pair:?}");
        }
    }
}
