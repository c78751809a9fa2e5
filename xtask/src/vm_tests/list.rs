//! `uepoll list`: every ring with all who hold it, as root and as an ordinary
//! user; what is in one; and what a ring's own process may do to mislead.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::bench::Ran;
use super::report::start;
use super::{Bench, table};

table![
    list_tells_each_ring_once_with_all_its_descriptors,
    list_tells_an_ordinary_user_of_his_own_rings_and_of_what_is_hidden,
    list_tells_what_each_item_of_a_ring_is_for,
    list_survives_a_ring_that_is_scribbled_over,
    list_says_what_is_there_instead_of_a_ring_that_was_closed,
    list_is_done_with_thousands_of_rings,
    live_rings_complete_in_bash,
];

/// Runs programs as somebody without any right.
const AS_NOBODY: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups";

/// Runs a script of bash, which can name a descriptor.
fn bash(bench: &Bench, script: &str) -> anyhow::Result<Ran> {
    bench.run(&["bash", "-c", script])
}

/// Builds the program that has a file of each kind in one ring.
fn build_zoo(bench: &Bench) -> anyhow::Result<String> {
    let source = bench.share().join("zoo.c");
    let program = bench.share().join("zoo");
    std::fs::write(&source, include_str!("zoo.c"))?;
    let mut gcc = std::process::Command::new("gcc");
    let built = gcc.args(["-O1", "-Wall", "-o"]).arg(&program).arg(&source).status()?;
    ensure!(built.success(), "gcc does not build {}", source.display());
    Ok(program.display().to_string())
}

/// Lines that start the zoo and set `$pid` and `$fd` to its ring's name.
fn start_zoo(bench: &Bench, how: &str) -> anyhow::Result<String> {
    let program = build_zoo(bench)?;
    Ok(format!(
        "{program} {how} >/run/{how} & until grep -q ready /run/{how}; do kill -0 $!; \
         sleep 0.05; done; read -r pid fd </run/{how}\n"
    ))
}

/// Every document in what was printed, a line each.
fn documents(text: &str) -> anyhow::Result<Vec<Value>> {
    let lines = text.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

fn rings(document: &Value) -> anyhow::Result<&Vec<Value>> {
    ensure!(document["schema"] == "uepoll.list/1", "{document}");
    document["rings"].as_array().context("no rings")
}

fn list_tells_each_ring_once_with_all_its_descriptors(bench: &Bench) -> anyhow::Result<()> {
    let shared = start(bench, "shared", "shared_ring", "", "shared");
    let load = start(bench, "load", "ring_load", "3 200", " ");
    let uepoll = bench.uepoll().display();
    let ran = bash(
        bench,
        &format!(
            "set -e\n{shared}{load}{uepoll} list --json; {uepoll} list -p $load --json; \
         {uepoll} list --comm shared_ring --json; cat /run/shared /run/load"
        ),
    )?;
    let text = ran.success()?;
    let documents = documents(&text)?;
    let mut told: Vec<(u64, u64)> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(pid, fd)| Some((pid.parse().ok()?, fd.parse().ok()?)))
        .collect();
    let busy = told.pop().context("ring_load told nothing")?;

    let [all, of_load, of_shared] = &documents[..] else {
        anyhow::bail!("{} documents", documents.len());
    };
    let counts = [rings(all)?.len(), rings(of_load)?.len(), rings(of_shared)?.len()];
    ensure!(counts == [5, 4, 1], "{counts:?} rings are listed");
    let name = |of: &Value| Some((of["pid"].as_u64()?, of["fd"].as_u64()?));
    let ring = &rings(of_shared)?[0];
    let others = ring["others"].as_array().context("no others")?;
    let mut found: Vec<_> = [ring].into_iter().chain(others).filter_map(name).collect();
    found.sort_unstable();
    told.sort_unstable();
    ensure!(found == told, "found {found:?} of {told:?}");

    let ring = rings(of_load)?.iter().find(|ring| name(ring) == Some(busy));
    let ring = ring.context("the busy ring is not listed")?;
    ensure!(ring["used"] == 8 && ring["capacity"] == 8, "{ring}");
    ensure!(ring["asleep"].is_array() && ring["corrupt"] == false, "{ring}");
    Ok(())
}

fn list_tells_an_ordinary_user_of_his_own_rings_and_of_what_is_hidden(
    bench: &Bench,
) -> anyhow::Result<()> {
    let zoo = build_zoo(bench)?;
    let uepoll = bench.uepoll().display();
    let ran = bash(
        bench,
        &format!(
            "{zoo} still >/run/root & {AS_NOBODY} {zoo} still >/run/nobody & \
         until grep -q ready /run/root && grep -q ready /run/nobody; do sleep 0.05; done; \
         read -r pid fd </run/nobody; {AS_NOBODY} {uepoll} list --json; \
         {AS_NOBODY} {uepoll} list --json $pid:$fd; {AS_NOBODY} {uepoll} list; \
         read -r pid fd </run/root; {AS_NOBODY} {uepoll} list $pid:$fd; echo status $?"
        ),
    )?;
    let text = ran.success()?;
    let documents = documents(&text)?;
    ensure!(documents.len() == 2, "{text}");
    for document in &documents {
        let [ring] = &rings(document)?[..] else { anyhow::bail!("not one ring: {document}") };
        ensure!(ring["comm"] == "zoo" && ring["used"] == 14, "{ring}");
    }
    ensure!(documents[0]["hidden"]["processes"].as_u64() > Some(0), "{}", documents[0]);
    ensure!(documents[1]["rings"][0]["memory"].is_object(), "{}", documents[1]);
    ensure!(text.contains("could not be looked into: run it under sudo"), "{text}");
    ensure!(text.contains("status 3"), "a ring of root's was shown: {text}");
    let said = ran.stderr_text();
    ensure!(said.contains("cap_sys_ptrace"), "no right is named: {said}");
    Ok(())
}

fn list_tells_what_each_item_of_a_ring_is_for(bench: &Bench) -> anyhow::Result<()> {
    let uepoll = bench.uepoll().display();
    let zoo = start_zoo(bench, "still")?;
    let ran = bash(
        bench,
        &format!("{zoo}{uepoll} list --json $pid:$fd; {uepoll} list $pid:$fd >&2; cat /run/still"),
    )?;
    let text = ran.success()?;
    let documents = documents(&text)?;
    let ring = rings(documents.first().context("no document")?)?.first().context("no ring")?;
    let memory = &ring["memory"];
    ensure!(memory["header"]["magic"] == 0xeb01_eb01_u32, "{memory}");
    ensure!(ring["capacity"] == 32 && ring["used"] == 14, "{ring}");

    let targets = ring["targets"].as_array().context("no targets")?;
    let by_fd: BTreeMap<u64, &Value> =
        targets.iter().filter_map(|target| Some((target["fd"].as_u64()?, target))).collect();
    let items = memory["items"].as_array().context("no items")?;
    let has_item = |fd: u64| items.iter().any(|item| item["fd"] == fd);
    let expected = [
        ("eventfd", "eventfd", "count 3"),
        ("idle-eventfd", "eventfd", "count 0"),
        ("pipe", "pipe", "pipe:["),
        ("unix", "unix", "stream"),
        ("tcp-listening", "tcp", ", listening"),
        ("tcp", "tcp", "127.0.0.1:"),
        ("timerfd", "timerfd", "then each 7.000 s"),
        ("signalfd", "signalfd", "signals 10"),
        ("inotify", "inotify", "1 watch"),
        ("pidfd", "pidfd", "process "),
        ("epoll", "epoll", "0 used"),
    ];
    for (name, kind, part) in expected {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        let fd: u64 = line.with_context(|| format!("zoo told no {name}"))?.parse()?;
        let target = by_fd.get(&fd).with_context(|| format!("{name} is not among {targets:?}"))?;
        ensure!(target["kind"] == kind, "{name}: {target}");
        let description = target["description"].as_str().unwrap_or_default();
        ensure!(description.contains(part), "{name}: {target}");
        ensure!(has_item(fd), "no item is for {name}, descriptor {fd}: {items:?}");
    }
    // What cannot be known is not guessed.
    let unknown = items.iter().filter(|item| item["fd"].is_null()).count();
    ensure!(unknown == 2, "{unknown} items without a file, of two with the same data: {items:?}");
    let replaced = targets.iter().filter(|target| target["replaced"] == true).count();
    ensure!(replaced == 1, "{replaced} descriptors are known to be another file's: {targets:?}");
    // The eventfd was written to, and nothing was consumed.
    let slots = memory["slots"].as_array().context("no slots")?;
    ensure!(slots.iter().any(|slot| slot["item"] == 0), "{slots:?}");
    ensure!(items[0]["ready_events"] == 1, "{}", items[0]);

    let people = ran.stderr_text();
    ensure!(people.lines().all(|line| line.chars().count() <= 80), "{people}");
    ensure!(people.contains("*0") && people.contains("eventfd, count 3"), "{people}");
    Ok(())
}

fn list_survives_a_ring_that_is_scribbled_over(bench: &Bench) -> anyhow::Result<()> {
    let uepoll = bench.uepoll().display();
    let zoo = start_zoo(bench, "hostile")?;
    let looks = 8;
    let ran = bash(
        bench,
        &format!(
            "set -e\n{zoo}for look in $(seq {looks}); do {uepoll} list --json $pid:$fd; \
         {uepoll} list $pid:$fd >&2; {uepoll} list >/dev/null; done"
        ),
    )?;
    let documents = documents(&ran.success()?)?;
    ensure!(documents.len() == looks, "{} of {looks} looks came to an end", documents.len());
    for document in &documents {
        let ring = &rings(document)?[0];
        // The kernel's word, whatever the header says.
        ensure!(ring["capacity"] == 32 && ring["used"] == 14, "{ring}");
        let items = ring["memory"]["items"].as_array().context("no items")?;
        ensure!(items.len() <= 32, "{} items", items.len());
        let targets = ring["targets"].as_array().context("no targets")?;
        ensure!(targets.len() == 14, "{} targets", targets.len());
    }
    let marked = documents.iter().filter(|document| {
        let ring = &document["rings"][0];
        ring["moving"] == true || ring["corrupt"] == true
    });
    ensure!(marked.count() > 0, "nothing was marked");
    let people = ran.stderr_text();
    ensure!(people.lines().all(|line| line.chars().count() <= 80), "{people}");
    Ok(())
}

fn list_says_what_is_there_instead_of_a_ring_that_was_closed(bench: &Bench) -> anyhow::Result<()> {
    let uepoll = bench.uepoll().display();
    let zoo = start_zoo(bench, "still")?;
    let ran = bash(
        bench,
        &format!(
            "{zoo}{uepoll} list $pid:4; echo status $?; {uepoll} list $pid:999; echo status $?; \
         kill $!; wait $!; {uepoll} list $pid:$fd; echo status $?; {uepoll} list"
        ),
    )?;
    let text = ran.success()?;
    ensure!(text.matches("status 2").count() == 3, "{text}");
    ensure!(text.contains("no user-polled ring\n"), "{text}");
    let said = ran.stderr_text();
    for part in [
        "is anon_inode:[eventfd], no user-polled ring: its rings are 3",
        "has no descriptor 999: its rings are 3",
        "there is no process",
    ] {
        ensure!(said.contains(part), "`{part}` is not in: {said}");
    }
    Ok(())
}

fn list_is_done_with_thousands_of_rings(bench: &Bench) -> anyhow::Result<()> {
    let uepoll = bench.uepoll().display();
    let script = format!(
        "for (1 .. 2000) {{ syscall({}, 1, 1) >= 0 or die $!; }} print \"ready\\n\"; \
         close STDOUT; sleep 1000",
        uepoll_common::abi::NR_EPOLL_CREATE2
    );
    let ran = bash(
        bench,
        &format!(
            "ulimit -n 4096 -l unlimited; perl -e '{script}' >/run/rings & \
         until grep -q ready /run/rings; do sleep 0.05; done; \
         {uepoll} list --json"
        ),
    )?;
    let documents = documents(&ran.success()?)?;
    let found = rings(documents.first().context("no document")?)?.len();
    ensure!(found == 2000, "{found} of 2000 rings are listed");
    Ok(())
}

fn live_rings_complete_in_bash(bench: &Bench) -> anyhow::Result<()> {
    let uepoll = bench.uepoll().display();
    let zoo = start_zoo(bench, "still")?;
    // As bash calls it: words broken at colons, the last of them to be completed.
    let completions = "complete() { :; }\n\
        try() { COMP_WORDS=(uepoll \"$@\"); COMP_CWORD=$#; COMPREPLY=(); \
        _uepoll_complete uepoll \"${COMP_WORDS[COMP_CWORD]}\"; \
        printf '%s => %s\\n' \"$*\" \"${COMPREPLY[*]}\"; }\n\
        source <(COMPLETE=bash uepoll)\n\
        try profile -r ''; try profile -r $pid :; try profile -r $pid : 3; try list $pid\n\
        try profile -p ''; try profile --comm zo; try help ESTA\n";
    let file = bench.share().join("completions.bash");
    std::fs::write(&file, completions)?;
    let ran = bash(
        bench,
        &format!(
            "{zoo}mkdir /run/bin && ln -s {uepoll} /run/bin/uepoll && \
         PATH=/run/bin:$PATH pid=$pid bash {}; echo $pid $fd",
            file.display()
        ),
    )?;
    let text = ran.success()?;
    let last = text.lines().last().context("nothing was printed")?;
    let (pid, fd) = last.split_once(' ').context("no ring")?;
    let told: Vec<&str> = text.lines().collect();
    let expected = [
        format!("profile -r  => {pid}:{fd}"),
        format!("profile -r {pid} : => {fd}"),
        format!("profile -r {pid} : 3 => {fd}"),
        format!("list {pid} => {pid}:{fd}"),
        format!("profile -p  => {pid}"),
        "profile --comm zo => zoo".to_owned(),
        "help ESTA => ESTALE".to_owned(),
    ];
    for (told, expected) in told.iter().zip(&expected) {
        ensure!(told == expected, "`{told}` instead of `{expected}`");
    }
    ensure!(told.len() == expected.len() + 1, "{text}");
    Ok(())
}
