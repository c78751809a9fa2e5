//! Wrong command lines, as a shell sees them: exit code 2, nothing on stdout, and
//! a message that says what would have been right. None of them attaches
//! anything, so they are the same on every host.

use std::process::{Command, Output};

fn uepoll(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_uepoll"))
        .args(arguments)
        .output()
        .expect("the binary was built")
}

/// What stderr says, without line breaks, after the code and stdout were checked.
fn refusal(arguments: &[&str]) -> String {
    let output = uepoll(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_wrong_word_of_profile_is_told_with_what_would_be_right() {
    for (words, said) in [
        (&["-p", "0"][..], "`0` is not a process number: write a whole number from 1"),
        (&["-p", "nginx"], "`nginx` is not a process number"),
        (&["-r", "4242"], "write the process and its descriptor, as 4242:7"),
        (&["-r", "4242:x"], "`4242:x` is not the name of a ring"),
        (&["--comm", ""], "a name is wanted"),
        (&["--comm", "a-name-of-20-letters"], "longer than any name that the kernel keeps"),
        (&["--consumer", "0"], "`0` is not a thread number"),
        (&["--probe-kind", "bpf"], "possible values: auto, fentry, kprobe"),
        (&["--color", "red"], "possible values: auto, always, never"),
        (&["-d", "soon"], "write 5, 5s, 500ms, 10us, 5m or 1h"),
        (&["-d", "0"], "nothing would be seen"),
        (&["-i", "99ms"], "write 100ms or longer"),
        (&["-i", "x"], "`x` is no length of time"),
        (&["-F", "0"], "`0` is not a number of snapshots a second"),
        (&["-F", "10001"], "write a whole number from 1 to 10000, or `max` with -r PID:FD"),
        (&["--classic"], "unexpected argument '--classic'"),
    ] {
        let message = refusal(&[&["profile"], words].concat());
        assert!(message.contains(said), "{words:?}: {message}");
    }
}

#[test]
fn every_wrong_word_of_stress_is_told_with_what_would_be_right() {
    for (words, said) in [
        (["--producers", "0"], "`0` is not a number of threads: write a whole number from 1 to"),
        (["--items", "65537"], "`65537` is not a number of items"),
        (["--events", "1e6"], "`1e6` is not a number of events"),
        (["--rate", "0"], "`0` is not a number of events a second: write"),
        (["--spin", "-1"], "`-1` is not a number of polls"),
        (["--think", "1 ms"], "`1 ms` is no length of time"),
        (["--stall-after", "0"], "--stall-after 0 would end every run"),
    ] {
        let word = format!("{}={}", words[0], words[1]);
        let message = refusal(&["stress", &word]);
        assert!(message.contains(said), "{words:?}: {message}");
    }
}

#[test]
fn options_that_exclude_each_other_are_both_named() {
    for (words, said) in [
        (&["-p", "1", "-r", "1:2"][..], ["--pid <PID>", "--ring <PID:FD>"]),
        (&["--comm", "x", "--cgroup", "/"], ["--comm <NAME>", "--cgroup <PATH>"]),
        (&["-p", "1", "--", "true"], ["`-- CMD`", "-p PID"]),
        (&["-r", "1:2", "--", "true"], ["`-- CMD`", "-r PID:FD"]),
        (&["--consumer", "1", "--", "true"], ["`-- CMD`", "--consumer TID"]),
        (&["-d", "1", "--", "true"], ["`-- CMD`", "-d TIME"]),
        (&["-F", "max"], ["-F max", "-r PID:FD"]),
        (&["-F", "max", "--", "true"], ["-F max", "-r PID:FD"]),
    ] {
        let message = refusal(&[&["profile"], words].concat());
        assert!(said.iter().all(|word| message.contains(word)), "{words:?}: {message}");
    }
}

#[test]
fn what_is_not_there_is_named_with_what_to_do_next() {
    // Above PID_MAX_LIMIT (2^22), so never given out.
    for (words, said) in [
        (["-p", "8388608"], "no process 8388608: `pgrep NAME`"),
        (["-r", "8388608:3"], "no process 8388608: `pgrep NAME`"),
        (["--consumer", "8388608"], "no thread 8388608"),
    ] {
        let message = refusal(&[&["profile"], &words[..]].concat());
        assert!(message.contains(said), "{words:?}: {message}");
    }
}

#[test]
fn a_descriptor_that_is_no_epoll_file_is_told_for_what_it_is() {
    let own = std::process::id();
    let message = refusal(&["profile", "-r", &format!("{own}:2147483647")]);
    assert!(message.contains("has no descriptor 2147483647"), "{message}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    let fd = std::os::fd::AsRawFd::as_raw_fd(file.as_file());
    let message = refusal(&["profile", "-r", &format!("{own}:{fd}")]);
    assert!(message.contains(&file.path().display().to_string()), "{message}");
    assert!(message.contains("not an epoll file"), "{message}");
}

#[test]
fn an_unknown_verb_is_2() {
    assert!(refusal(&["profil"]).contains("'profile'"));
}
