//! `uepoll doctor`: what can be seen on this host and what to change. Gathers
//! facts, tries every probe once where that is allowed, and prints the verdicts,
//! which are uepoll-core's.

use std::fs;
use std::io::ErrorKind;

use uepoll_core::capture::{PlanRow, Protocol};
use uepoll_core::doctor::{self, Check, Examination, Fitness, PointCheck, Section, Series, Trial};

use crate::kernel::btf::{self, Btf};
use crate::kernel::config;
use crate::kernel::rights::{self, Facts};
use crate::kernel::symbols::{self, Symbols};
use crate::probe::plan::{self, Functions, Refused, Wants};
use crate::source::live::{self, ProbeKind};
use crate::{exit, output};

/// Options of `uepoll doctor`
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// How functions are probed: what a run with the same option would get
    #[arg(long, value_enum, default_value_t)]
    probe_kind: ProbeKind,

    /// The findings as JSON (schema uepoll.doctor/1)
    #[arg(long)]
    json: bool,
}

/// Runs it. Returns the exit code: 0 fine, 1 degraded, 3 cannot run.
///
/// # Errors
/// If the findings could not be written.
pub fn run(args: Args) -> anyhow::Result<u8> {
    let examination = examine(args.probe_kind);
    let text = match args.json {
        true => doctor::json(&examination),
        false => doctor::text(&examination, output::charset()),
    };
    output::print("findings", &text)?;
    Ok(match examination.fitness() {
        Fitness::Fine => exit::FINE,
        Fitness::Degraded { .. } => exit::FINDING,
        Fitness::CannotRun { .. } => exit::CANNOT_RUN,
    })
}

fn examine(kind: ProbeKind) -> Examination {
    let release = live::release();
    let (types, mut checks) = match read_types() {
        Ok(types) => (Some(types), vec![Check::ok(Section::Kernel, "BTF", btf::PATH)]),
        Err(check) => (None, vec![check]),
    };
    let (symbols, check) = read_symbols();
    checks.push(check);
    checks.extend(config::findings(&release));
    checks.extend(rights::findings(&Facts::read()));
    let series = types.as_ref().map_or(Series::Unknown, series);
    let (trial, rows) = match series {
        Series::Present(_) => plan(kind, &checks, types.as_ref(), &symbols),
        // Nothing of it could be there.
        Series::Absent | Series::Unknown => {
            (Trial::NotMade { why: "the series was not found".to_owned() }, Vec::new())
        }
    };
    let point = |row: PlanRow| PointCheck { remedy: plan::remedy(&row, kind, &symbols), row };
    Examination {
        release,
        series,
        checks,
        probe_kind: match kind {
            ProbeKind::Auto => "auto",
            ProbeKind::Fentry => "fentry",
            ProbeKind::Kprobe => "kprobe",
        },
        trial,
        points: rows.into_iter().map(point).collect(),
    }
}

/// The plan as a trial made it; where that is not allowed or fails, as it
/// follows from symbols and types.
fn plan(
    kind: ProbeKind,
    checks: &[Check],
    types: Option<&Btf>,
    symbols: &Symbols,
) -> (Trial, Vec<PlanRow>) {
    let obstacles = doctor::obstacles(checks);
    let why = match obstacles.first() {
        Some(obstacle) => obstacle.to_string(),
        None => match live::trial(kind) {
            Ok(rows) => return (Trial::Made, rows),
            Err(error) => error.to_string(),
        },
    };
    let functions = Functions {
        symbols,
        parameters: &|name| types?.parameters(name),
        typed: &|name| match types {
            Some(types) => plan::fits(types, name),
            None => Err("the kernel does not show its types".to_owned()),
        },
        refused: &Refused::new(),
    };
    let decisions = plan::decide(&functions, &Wants { filtered: true, kind });
    (Trial::NotMade { why }, decisions.into_iter().map(|decision| decision.row).collect())
}

/// Whether the kernel carries the series, and which protocol: told by fields.
fn series(types: &Btf) -> Series {
    let has = |field: &str| types.offset("eventpoll", field).is_some();
    match (has("user_header"), has("shadow_cnt")) {
        (false, _) => Series::Absent,
        (true, false) => Series::Present(Protocol::V2),
        (true, true) => Series::Present(Protocol::V4),
    }
}

fn read_types() -> Result<Btf, Check> {
    let refuse = |why: String, remedy: &str| {
        let found = format!("the kernel's types cannot be read from {} ({why})", btf::PATH);
        Check::essential(Section::Kernel, "BTF", found, remedy)
    };
    let bytes = fs::read(btf::PATH).map_err(|error| {
        let remedy = match error.kind() {
            ErrorKind::NotFound => {
                "boot a kernel built with CONFIG_DEBUG_INFO_BTF, or try `cargo xtask demo`"
            }
            _ => "make /sys readable: a container may have it hidden",
        };
        refuse(error.to_string(), remedy)
    })?;
    Btf::parse(bytes).map_err(|error| {
        refuse(error.to_string(), "boot a kernel that this version of uepoll can read")
    })
}

fn read_symbols() -> (Symbols, Check) {
    match fs::read_to_string(symbols::PATH) {
        Ok(text) => {
            let check = Check::ok(Section::Kernel, "symbols", symbols::PATH);
            (Symbols::parse(&text, &plan::functions()), check)
        }
        Err(error) => {
            let found = format!("{} cannot be read ({error})", symbols::PATH);
            let remedy = "mount /proc, or boot a kernel built with CONFIG_KALLSYMS_ALL";
            let check = Check::essential(Section::Kernel, "symbols", found, remedy);
            (Symbols::default(), check)
        }
    }
}
