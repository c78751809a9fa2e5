//! `uepoll top` on a terminal, which tmux is: what is shown, what keys do, and
//! that the terminal is given back.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, ensure};

use super::report::start;
use super::{Bench, table};
use crate::paths;

table![top_shows_rings_obeys_keys_and_gives_the_terminal_back];

/// Where the screens go when `UEPOLL_BLESS` is set.
const SCREENSHOTS: &str = "docs/screenshots/top.txt";

/// Bash: a tmux of our own; what waits, waits until the machine's time is over.
const TMUX: &str = r#"
export LC_ALL=C.UTF-8 TERM=screen-256color
terminal() { tmux -u -f /dev/null -L uepoll "$@"; }
press() { terminal send-keys "$@"; }
shown() { until terminal capture-pane -p | grep -qF -- "$1"; do terminal has-session; sleep 0.1; done; }
keep() { echo "=== $1"; terminal capture-pane -p; }
top_pid() { until pidof -s uepoll; do sleep 0.1; done; }
"#;

/// Bash: what a person does, each step after what the one before has shown.
const STEPS: &str = r#"
terminal new-session -d -x 80 -y 24 'exec bash --norc --noprofile'
press "echo the line; stty -a >/run/before; $UEPOLL top" Enter
shown LIVE; shown "$RING"
# Figures of a second interval, so that there is a depth before.
shown '#3'
keep rings
press Enter; shown 'p99.9'; keep ring
terminal resize-window -x 80 -y 80; shown ITEM; keep items
terminal resize-window -x 80 -y 24; shown 'p99.9'
press Escape; shown 'published/s'
press '?'; shown 'choose a ring'; press Escape; shown 'published/s'
press /; press nobody; shown 'no ring whose'; keep filter
press Escape; shown 'published/s'
press Space; shown PAUSED; press Space; shown LIVE
press s; shown 'by merged'; press S; shown 'by published'
terminal resize-window -x 150 -y 40; shown 'ENOSPC/s'; keep wide
terminal resize-window -x 30 -y 6; shown 'top needs'
terminal resize-window -x 80 -y 24; shown LIVE
press C-z; shown Stopped; keep stopped
press fg Enter; shown LIVE
kill -TERM "$(top_pid)"
press 'echo "status $?"; stty -a >/run/after; echo told >/run/told' Enter
until [ -s /run/told ]; do sleep 0.1; done
keep after
cmp /run/before /run/after && echo '=== same'
# The terminal goes away while it is shown.
press "$UEPOLL top" Enter; shown LIVE
pid=$(top_pid)
terminal kill-server
while kill -0 "$pid" 2>/run/null; do sleep 0.1; done
echo '=== gone'
"#;

fn top_shows_rings_obeys_keys_and_gives_the_terminal_back(bench: &Bench) -> anyhow::Result<()> {
    let load = start(bench, "load", "ring_load", "2 400", " ");
    let uepoll = bench.uepoll().display();
    let script = format!(
        "set -eu\n{load}\nread -r pid fd </run/load; RING=\"$pid:$fd\"; UEPOLL={uepoll}\n\
         echo \"=== name\n$RING\"\n{TMUX}\n{STEPS}"
    );
    // One: attaching to a load may panic an emulated machine of two.
    let mut options = bench.options(&["bash", "-c", &script]);
    options.cpus = 1;
    let printed = bench.run_with(&options)?.success()?;
    let screens = screens(&printed);
    let screen = |name: &str| {
        screens.get(name).map(String::as_str).with_context(|| format!("no {name} in {printed}"))
    };

    let ring = screen("name")?.trim();
    let rings = screen("rings")?;
    let row = rings.lines().find(|line| line.contains(ring)).unwrap_or_default();
    ensure!(row.contains("ring_load"), "the busy ring is not named: {rings}");
    ensure!(rings.contains("3 rings, by published/s"), "not all rings: {rings}");
    let last = rings.trim_end().lines().last().unwrap_or_default();
    ensure!(last.starts_with("cost ") && last.contains("loss"), "no trust line: {rings}");
    for line in ["in ring", "wake-up", "publish", "consumer"] {
        ensure!(screen("ring")?.contains(line), "no {line}: {}", screen("ring")?);
    }
    ensure!(screen("items")?.contains("eventfd"), "no items: {}", screen("items")?);
    ensure!(screen("filter")?.contains("`nobody`"), "{}", screen("filter")?);
    ensure!(screen("wide")?.lines().any(|line| line.len() > 100), "{}", screen("wide")?);
    for name in ["stopped", "after"] {
        ensure!(screen(name)?.contains("the line"), "{name}: still the view: {}", screen(name)?);
    }
    ensure!(screen("after")?.contains("status 0"), "{}", screen("after")?);
    ensure!(screens.contains_key("same"), "the terminal's mode is another: {printed}");
    ensure!(screens.contains_key("gone"), "it outlived its terminal: {printed}");
    if std::env::var_os("UEPOLL_BLESS").is_some() {
        keep(&[screen("rings")?, screen("ring")?])?;
    }
    Ok(())
}

/// What stands under each `=== NAME`.
fn screens(printed: &str) -> BTreeMap<String, String> {
    let parts = printed.split("=== ").skip(1);
    let named = parts.filter_map(|part| part.split_once('\n'));
    named.map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
}

/// Keeps screens for people to look at.
fn keep(screens: &[&str]) -> anyhow::Result<()> {
    let path = paths::project().join(SCREENSHOTS);
    let folder = path.parent().context("the path has a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let rule = format!("{}\n", "-".repeat(80));
    let text = screens.join(&rule);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn screens_are_told_apart_by_their_names() {
        let screens = screens("noise\n=== one\na\nb\n=== two\n\n=== same\n");
        assert_eq!(screens["one"], "a\nb\n");
        assert_eq!(screens["two"], "\n");
        assert!(screens.contains_key("same"));
    }
}
