//! docs/accuracy.md: what was checked, on what, run by run, and how it came
//! out.

use std::fmt::{self, Write};

use super::judge::{STANDARD_ERRORS, Told, Verdict, Width};
use super::plan::Spec;
use super::{Judged, LEVEL_OF_TEST, OUTSIDE_CHANCE, Summary};

/// Where it was run.
pub struct Machine {
    /// `uname -r` of the guest.
    pub release: String,
    /// Model of the host's CPU.
    pub cpu: String,
    /// The guest's CPU is emulated.
    pub emulated: bool,
}

/// The page.
pub fn render(machine: &Machine, command: &str, runs: &[Judged], summary: &Summary) -> String {
    let mut page = String::new();
    // A String takes everything.
    let _infallible = write_page(&mut page, machine, command, runs, summary);
    page
}

fn write_page(
    page: &mut String,
    machine: &Machine,
    command: &str,
    runs: &[Judged],
    summary: &Summary,
) -> fmt::Result {
    let Machine { release, cpu, emulated } = machine;
    let emulated = if *emulated { ", emulated: ratios only" } else { "" };
    write!(
        page,
        "# Accuracy\n\nWritten by `{command}`, in virtual machines with kernel {release} on \
         {cpu}{emulated}.\n\nEach run is `uepoll profile` of a `uepoll stress` whose consumer logs \
         the clock before and after each store to head (`--ground-truth`). High-resolution runs \
         (-F max) watch a load that runs already. The same seed makes the same runs.\n\n\
         ## Result\n\n"
    )?;
    let passed =
        if summary.passed() { "**All claims hold.**" } else { "**A claim does not hold.**" };
    let Summary {
        compared,
        outside,
        claims,
        violations,
        chance,
        failed,
        repeated,
        not_made,
        watched,
        watched_useful,
    } = *summary;
    write!(
        page,
        "{passed} {} runs, {failed} with a failure, {not_made} not made; {repeated} started again \
         after the emulator's panic (docs/decisions.md).\n\n\
         - Every sampled position: its truth, `[before - add exit, after - add entry]`, overlaps \
         its bounds. {outside} of {compared} are outside.\n\
         - Percentiles: those of the truth, weighted by the sampling, from its lower and from its \
         upper ends, against the printed bounds at 95 %. {violations} of {claims} are outside. \
         Test: were each inside with a chance of 95 %, so many or more would be outside with a \
         chance of {chance:.3} (upper tail of the binomial distribution of {claims} at \
         {OUTSIDE_CHANCE}); the claim is given up below {LEVEL_OF_TEST}. The two ends of one \
         percentile are not independent: the test is for the number, not a proof.\n\
         - Widths: wherever the mean spacing of snapshots is no longer than the true median, the \
         printed bounds of the median are no wider than 3 times the true median, those of the 99th \
         percentile no wider than 8 times the true one. Elsewhere the report names what would \
         narrow them (\"named\"). A high-resolution run is either useful, or the longest gap \
         between two reads of head, which the report states, is as long as the bounds are wide \
         (\"reached\": the watch was kept off its CPU); {watched_useful} of {watched} are useful, \
         and one at least must be.\n\
         - Nothing is lost and the books balance; or the report says what is lost (\"lost\": a \
         kprobe that hits while another runs on its CPU is missed by the kernel), and they are off \
         by no more.\n\
         - The bound of the empty ring, which is one at 95 %, is no less than the time that the \
         consumer polled it, less {STANDARD_ERRORS} further standard errors of the sampler (a \
         binomial share of its ticks). \
         Polls by the consumer's probe are as many as the consumer counted.\n\n",
        runs.len()
    )?;
    write_figures(page, runs)?;
    write_loads(page, runs)?;
    write_failures(page, runs)
}

fn write_figures(page: &mut String, runs: &[Judged]) -> fmt::Result {
    page.push_str(
        "## Runs\n\nTimes in us: the truth (from its lower and its upper ends), and the bounds \
         printed. Spacing: mean time between snapshots. Spin: share of the time in which the \
         consumer polled the empty ring, and the bound of it; polls by the probe.\n\n\
         | run | sampled | 1 of | outside | spacing | p50 true | p50 told | p99 true | p99 told \
         | widths | published | spin | bound | polls | lost | outcome |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for Judged { spec, result, .. } in runs {
        let verdict = match result {
            Ok(verdict) => verdict,
            Err(_) => {
                writeln!(page, "| {} |{} not made |", spec.number, " |".repeat(14))?;
                continue;
            }
        };
        write!(
            page,
            "| {} | {} | {:.1} | {} | {} ",
            spec.number,
            verdict.compared,
            verdict.mean_weight,
            verdict.outside,
            us(verdict.spacing_ns)
        )?;
        for told in &verdict.told[..2] {
            match told {
                Some(told) => write!(page, "| {} | {} ", truth(told), bounds(told))?,
                None => page.push_str("| - | - "),
            }
        }
        let Verdict { published_share, spin_share, spin_bound, iterations, lost, .. } = verdict;
        let (widths, bound) = (widths(&verdict.width), spin_bound.as_ref());
        writeln!(
            page,
            "| {widths} | {:.0} % | {} | {} | {} | {lost} | {} |",
            published_share * 100.0,
            spin_share.map_or("-".to_owned(), |share| format!("{:.1} %", share * 100.0)),
            bound.map_or("withheld".to_owned(), |bound| format!("{:.1} %", bound * 100.0)),
            iterations.map_or("-".to_owned(), |(told, own)| format!("{told} of {own}")),
            if verdict.failures.is_empty() { "ok" } else { "**FAILED**" }
        )?;
    }
    page.push('\n');
    Ok(())
}

fn write_loads(page: &mut String, runs: &[Judged]) -> fmt::Result {
    page.push_str("## Loads\n\n| run | CPUs | profile | stress |\n|---|---|---|---|\n");
    for Judged { spec, .. } in runs {
        let Spec { number, cpus, .. } = spec;
        writeln!(
            page,
            "| {number} | {cpus} | `{}` | `{}` |",
            spec.profile_words(),
            spec.stress_words()
        )?;
    }
    Ok(())
}

fn write_failures(page: &mut String, runs: &[Judged]) -> fmt::Result {
    let mut head = Some("\n## What failed\n\n");
    let mut line = |page: &mut String, number: u32, sentence: &str| {
        page.push_str(head.take().unwrap_or_default());
        writeln!(page, "- run {number}: {}", sentence.replace('\n', " "))
    };
    for Judged { spec, result, .. } in runs {
        match result {
            Ok(verdict) => {
                for failure in &verdict.failures {
                    line(page, spec.number, failure)?;
                }
            }
            Err(error) => line(page, spec.number, error)?,
        }
    }
    let mut head = Some("\n## Named or withheld\n\n");
    let mut line = |page: &mut String, number: u32, sentence: &str| {
        page.push_str(head.take().unwrap_or_default());
        writeln!(page, "- run {number}: {sentence}")
    };
    for Judged { spec, result, .. } in runs {
        let Ok(verdict) = result else { continue };
        if let Width::Named(named) | Width::Reached(named) = &verdict.width {
            line(page, spec.number, named)?;
        }
        if let Err(reason) = &verdict.spin_bound {
            line(page, spec.number, &format!("bound of the empty ring withheld: {reason}"))?;
        }
    }
    Ok(())
}

fn widths(width: &Width) -> &'static str {
    match width {
        Width::Useful => "useful",
        Width::Named(_) => "named",
        Width::Reached(_) => "reached",
        Width::Wide => "WIDE",
        Width::Unknown => "-",
    }
}

/// Nanoseconds as microseconds with three digits or so.
fn us(ns: f64) -> String {
    let us = ns / 1e3;
    if us < 100.0 { format!("{us:.1}") } else { format!("{us:.0}") }
}

fn truth(told: &Told) -> String {
    let (lower, upper) = told.truth_ns;
    format!("{}..{}", us(lower as f64), us(upper as f64))
}

fn bounds(told: &Told) -> String {
    let hi = told.hi_ns.map_or("none".to_owned(), |hi| us(hi as f64));
    format!("{}..{hi}", us(told.lo_ns as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accuracy::plan;

    #[test]
    fn a_run_that_was_not_made_is_on_the_page_with_its_reason() {
        let spec = plan::runs(20, 1).remove(0);
        let judged =
            Judged { spec, result: Err("the guest\ndid not boot".into()), repeated: false };
        let runs = [judged];
        let summary = Summary::of(&runs);
        assert!(!summary.passed());
        let machine = Machine { release: "6.12".into(), cpu: "a CPU".into(), emulated: true };
        let page = render(&machine, "cargo xtask accuracy", &runs, &summary);
        assert!(page.contains("**A claim does not hold.**"), "{page}");
        assert!(page.contains("- run 1: the guest did not boot"), "{page}");
        let columns = |line: &str| line.matches('|').count();
        let table: Vec<_> = page.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(columns(table[0]), columns(table[1]));
        assert_eq!(columns(table[0]), columns(table[2]), "{}", table[2]);
    }
}
