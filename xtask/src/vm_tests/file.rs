//! A run in a file: told again as it was told live, added to, and readable
//! whenever its recorder was killed.

use anyhow::{Context, ensure};

use super::{Bench, table};

table![
    a_recorded_run_is_reported_as_it_was_live,
    runs_are_appended_to_a_file,
    a_killed_recorder_leaves_a_readable_file,
    a_recording_belongs_to_its_user_and_opens_read_only,
];

/// Kills in the table of tests; `cargo xtask kills` does a hundred.
const KILLS: u32 = 12;

/// Options of `uepoll profile`, and of `uepoll report` that tells the same.
const FORMS: [(&str, &str); 5] =
    [("", ""), ("-v", "-v"), ("--json", "-f json"), ("-i 1", ""), ("-i 1 --json", "-f json")];

/// A load of so many writes.
fn load(bench: &Bench, events: u32) -> String {
    let uepoll = bench.uepoll().display();
    format!("{uepoll} stress --json --producers 4 --items 4 --rate 3000 --events {events}")
}

fn a_recorded_run_is_reported_as_it_was_live(bench: &Bench) -> anyhow::Result<()> {
    let uepoll = bench.uepoll().display();
    let mut script = String::from("mkdir /tmp/f; cd /tmp/f\n");
    for (number, (profile, report)) in FORMS.iter().enumerate() {
        script += &format!(
            "{uepoll} profile {profile} -o {number}.uepoll -- {load} >live 2>/dev/null\n\
             {uepoll} report {number}.uepoll {report} >again\n\
             test -s live; cmp live again; ls {number}.uepoll*\n",
            load = load(bench, 9000)
        );
    }
    let ran = bench.run(&["bash", "-euc", &script])?;
    // One file each, nothing beside it.
    ensure!(ran.success()?.lines().count() == FORMS.len(), "{}", ran.success()?);
    Ok(())
}

fn runs_are_appended_to_a_file(bench: &Bench) -> anyhow::Result<()> {
    let uepoll = bench.uepoll().display();
    let load = load(bench, 2000);
    let ran = bench.run(&[
        "bash",
        "-euc",
        &format!(
            "mkdir /tmp/f; cd /tmp/f\n\
         for commit in abc def; do \
         {uepoll} profile -o x.uepoll --label commit=$commit -- {load} >$commit 2>/dev/null; done\n\
         {uepoll} report x.uepoll#1 | cmp - abc; {uepoll} report x.uepoll | cmp - def\n\
         {uepoll} report x.uepoll#commit=abc | cmp - abc\n\
         {uepoll} report x.uepoll#3 2>&1 || echo $?"
        ),
    ])?;
    let told = ran.success()?;
    ensure!(told.contains("has no run 3: it has runs 1 to 2") && told.ends_with("2\n"), "{told}");
    Ok(())
}

fn a_killed_recorder_leaves_a_readable_file(bench: &Bench) -> anyhow::Result<()> {
    kills(bench, KILLS).map(|_| ())
}

fn a_recording_belongs_to_its_user_and_opens_read_only(bench: &Bench) -> anyhow::Result<()> {
    let built = bench.uepoll().display().to_string();
    // Where that user may go, too: not everybody may look into a target folder.
    let uepoll = "/tmp/f/uepoll";
    let load = load(bench, 500).replace(&built, uepoll);
    // As `sudo` tells who called; then as that user, in a folder that is not his.
    let ran = bench.run(&[
        "bash",
        "-euc",
        &format!(
            "mkdir /tmp/f; cd /tmp/f; cp {built} {uepoll}\n\
         SUDO_UID=1234 SUDO_GID=4321 {uepoll} profile -o x.uepoll -- {load} >live 2>said || {{ cat said >&2; exit 1; }}\n\
         stat -c '%u %g %a' x.uepoll; chmod 400 x.uepoll; chmod 555 .\n\
         setpriv --reuid 1234 --regid 4321 --clear-groups {uepoll} report x.uepoll | cmp - live"
        ),
    ])?;
    ensure!(ran.success()? == "1234 4321 600\n", "{}", ran.success()?);
    Ok(())
}

/// How recorders ended that were killed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Killed {
    /// Left a run that is told up to its last checkpoint, or whole.
    pub told: u32,
    /// Left a file without a run, and it says so.
    pub no_run: u32,
    /// Had not made the file yet.
    pub no_file: u32,
}

/// Kills so many recorders, each at another moment from its start to beyond its
/// end, and reads what they left.
///
/// # Errors
/// If one left something that cannot be read.
pub fn kills(bench: &Bench, kills: u32) -> anyhow::Result<Killed> {
    let mut options = bench.options(&["bash", "-uc", &script(bench, kills)]);
    // See docs/decisions.md: what is attached to is busy.
    options.cpus = 1;
    options.time_limit = std::time::Duration::from_secs(60 + 12 * u64::from(kills));
    let told = bench.run_with(&options)?.success()?;
    let mut killed = Killed::default();
    for line in told.lines() {
        match line.split(' ').next().context("a line for each kill")? {
            "told" => killed.told += 1,
            "no-run" => killed.no_run += 1,
            "no-file" => killed.no_file += 1,
            _ => anyhow::bail!("{line}"),
        }
    }
    let all = killed.told + killed.no_run + killed.no_file;
    ensure!(all == kills, "{all} of {kills} ends were told of:\n{told}");
    Ok(killed)
}

/// Bash: a busy ring, recorders of it that are killed, and a line of what each
/// left. The moments are spread evenly over a run, from the file's first
/// tenth of a second to beyond the end; one in ten is counted from the start of the process.
fn script(bench: &Bench, kills: u32) -> String {
    let uepoll = bench.uepoll().display();
    let load = bench.program("ring_load");
    format!(
        "mkdir /tmp/f; cd /tmp/f\n\
         mkfifo in; {load} 1 500 <in >ready & exec 9>in\n\
         until grep -q ' ' ready; do sleep 0.05; done\n\
         for n in $(seq {kills}); do\n\
         f=$n.uepoll; at=$((n * 37 % {kills} * 1800 / {kills} + RANDOM % 40))\n\
         {uepoll} profile -d 1500ms -o $f >/dev/null 2>&1 & p=$!\n\
         # One in ten while it attaches, the others while it records: before that it\n\
         # makes the file for a moment, to see that it can.\n\
         [ $((n % 10)) = 0 ] || until [ -s $f ] && sleep 0.1 && [ -s $f ]; do sleep 0.02; done\n\
         sleep $((at / 1000)).$(printf %03d $((at % 1000))); kill -9 $p 2>/dev/null\n\
         wait $p 2>/dev/null\n\
         if [ ! -e $f ]; then echo \"no-file at $at ms\"; continue; fi\n\
         said=$({uepoll} report $f 2>&1); code=$?\n\
         case \"$code $said\" in\n\
         0*books*) echo \"told at $at ms\";;\n\
         2*'ended before it began'*) echo \"no-run at $at ms\";;\n\
         *) echo \"unreadable: killed at $at ms, exit status $code: $said\";;\n\
         esac\n\
         done",
        load = load.display()
    )
}
