//! What is known of a run before it begins: the words of its command line, its
//! machine, both clocks.

use std::collections::BTreeMap;
use std::fs;

use rustix::time::{ClockId, clock_gettime};
use uepoll_core::run::RunInfo;

/// Where the kernel tells of the CPU's weaknesses.
const WEAKNESSES: &str = "/sys/devices/system/cpu/vulnerabilities";

/// Of a run that begins now. What the machine does not tell stays empty.
pub fn run_info(labels: &[(String, String)], by_intervals: bool) -> RunInfo {
    RunInfo {
        tool: concat!("uepoll ", env!("CARGO_PKG_VERSION")).into(),
        started_unix_ns: clock_ns(ClockId::Realtime),
        started_mono_ns: clock_ns(ClockId::Monotonic),
        words: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
        labels: labels.iter().cloned().collect(),
        hostname: first_line("/proc/sys/kernel/hostname"),
        cpu_model: cpu_model(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
        mitigations: mitigations(),
        by_intervals,
    }
}

fn clock_ns(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    // Neither is negative on a machine whose clock was ever set.
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    part(now.tv_sec).saturating_mul(1_000_000_000).saturating_add(part(now.tv_nsec))
}

fn first_line(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}

fn cpu_model(cpuinfo: &str) -> String {
    let model = cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    model.unwrap_or_default()
}

fn mitigations() -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir(WEAKNESSES) else { return BTreeMap::new() };
    let told = entries.flatten().map(|entry| {
        let state = first_line(&entry.path().to_string_lossy());
        (entry.file_name().to_string_lossy().into_owned(), state)
    });
    told.filter(|(_, state)| !state.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_of_the_first_cpu_is_told() {
        let text = "processor\t: 0\nmodel name\t: A: fast one\nprocessor\t: 1\nmodel name\t: B\n";
        assert_eq!(cpu_model(text), "A: fast one");
        assert_eq!(cpu_model("Hardware : x\n"), "");
    }

    #[test]
    fn a_run_knows_both_clocks_and_its_labels() {
        let info = run_info(&[("commit".into(), "abc".into())], true);
        assert!(info.started_unix_ns > 1_600_000_000_000_000_000 && info.started_mono_ns > 0);
        assert_eq!(info.labels.get("commit").map(String::as_str), Some("abc"));
        assert!(info.tool.starts_with("uepoll ") && info.by_intervals);
    }
}
