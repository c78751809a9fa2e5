//! The probe plan: for each point, which programs go where in this kernel, why
//! not the better way, and what is lost where none can. Decided from symbols,
//! types and what a trial refused; nothing is attached here.

mod points;
mod prototypes;
mod remedy;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use uepoll_core::capture::{Attached, PlanRow};

use crate::kernel::symbols::{Found, Symbols};
use crate::source::live::ProbeKind;

use points::STOCK_CALLBACK_PARAMETERS;
pub use points::{ADD, CALLBACK, GET_BIT, POINTS};
pub use prototypes::fits;
#[cfg(test)]
use prototypes::prototype_of;
pub use remedy::remedy;

/// Where a point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// A function, with the number of parameters of its prototype.
    Function(&'static str, usize),
    /// A tracepoint: category and name.
    Tracepoint(&'static str, &'static str),
    /// A tracepoint that hands over its raw arguments.
    RawTracepoint(&'static str),
    /// The software clock of every CPU.
    Clock,
    /// An iterator over things of the kernel, by its name.
    Iterator(&'static str),
}

/// One point of observation.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// A word of the design's table of probe points.
    pub name: &'static str,
    /// Where.
    pub site: Site,
    /// Programs for a function by kprobe and kretprobe, or for what is no
    /// function.
    pub programs: &'static [&'static str],
    /// Their twins by fentry and fexit.
    pub typed: &'static [&'static str],
    /// Of `programs`, the ones that a clone of the function can serve: they
    /// look at its return value and at none of its arguments.
    pub on_clone: &'static [&'static str],
    /// What is lost without it.
    pub lost: &'static str,
    /// What is lost even where its kprobes are attached; empty for nothing.
    pub lost_by_kprobe: &'static str,
    /// Needed only where rings are filtered by process.
    pub for_filter: bool,
    /// Serves only beside the kprobe of this function, whose fexit does the
    /// same work.
    pub beside_kprobe: Option<&'static str>,
    /// What stands in, by kprobe, where the function cannot be probed.
    pub stand_in: Option<&'static Point>,
}

/// What is done about one point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The row that people read.
    pub row: PlanRow,
    /// Where the programs go.
    pub site: Site,
    /// How they go there.
    pub way: Attached,
    /// Programs to attach to `row.symbol`; none if it is missing.
    pub programs: &'static [&'static str],
}

/// Why a trial failed, for each symbol and way that refused its programs.
pub type Refused = HashMap<(String, Attached), String>;

/// What is known of the kernel's functions.
pub struct Functions<'a> {
    /// Their symbols.
    pub symbols: &'a Symbols,
    /// Number of parameters by the kernel's types; `None` if not told.
    pub parameters: &'a dyn Fn(&str) -> Option<usize>,
    /// Whether the function's prototype in the kernel's types is the one that
    /// the typed programs read by; if not, why not ([`fits`] tells).
    pub typed: &'a dyn Fn(&str) -> Result<(), String>,
    /// Sites that refused their programs.
    pub refused: &'a Refused,
}

/// What a run asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Rings are filtered by their owner.
    pub filtered: bool,
    /// How functions may be probed.
    pub kind: ProbeKind,
}

/// Said where kprobes are there because the user wants them.
const ASKED_KPROBE: &str = "kprobes were asked for (--probe-kind kprobe)";

/// Said where nothing is there because the user wants no kprobe.
const ASKED_FENTRY: &str = "and --probe-kind fentry allows no kprobe";

/// These two points keep the frames of one call together, and each way tells
/// calls apart by something else: both go the same way.
const PAIRED: [&str; 2] = ["arrival", "publish"];

/// Decides about every point.
pub fn decide(functions: &Functions<'_>, wants: &Wants) -> Vec<Decision> {
    let first = decide_all(functions, wants, None);
    let by_kprobe = first
        .iter()
        .find(|decision| decision.way == Attached::Kprobe && PAIRED.contains(&decision.row.point));
    match by_kprobe {
        Some(decision) => {
            let leader = decision.row.symbol.clone();
            decide_all(functions, wants, Some(&leader))
        }
        None => first,
    }
}

/// Decides with the paired points held to kprobes by one of them, if so.
fn decide_all(functions: &Functions<'_>, wants: &Wants, held_by: Option<&str>) -> Vec<Decision> {
    let mut decisions: Vec<Decision> = Vec::with_capacity(POINTS.len());
    for point in POINTS.iter().filter(|point| wants.filtered || !point.for_filter) {
        let useful = |function: &str| {
            let of = |decision: &&Decision| is_of(decision, function);
            decisions.iter().find(of).is_some_and(|decision| decision.way == Attached::Kprobe)
        };
        if point.beside_kprobe.is_some_and(|function| !useful(function)) {
            continue;
        }
        let held_by = held_by.filter(|_| PAIRED.contains(&point.name));
        let context = Context { functions, kind: wants.kind, held_by };
        let decision = context.decide(point);
        if decision.way == Attached::Missing
            && let Some(stand_in) = point.stand_in
        {
            let mut other = context.decide(stand_in);
            if other.way != Attached::Missing {
                // The row of what is missing stays: figures rest on it.
                other.row.why_not_better = Some(format!("no probe on {}", decision.row.symbol));
                decisions.push(other);
            }
        }
        decisions.push(decision);
    }
    decisions
}

/// What a decision about one point rests on.
struct Context<'a> {
    functions: &'a Functions<'a>,
    kind: ProbeKind,
    /// The function whose kprobe holds this point to kprobes.
    held_by: Option<&'a str>,
}

impl Context<'_> {
    fn decide(&self, point: &Point) -> Decision {
        let (symbol, way) = match point.site {
            Site::Function(name, parameters) => {
                return self
                    .function(point, name, parameters)
                    .unwrap_or_else(|why| missing(point, name.to_owned(), &why));
            }
            Site::Tracepoint(category, name) => {
                (format!("{category}:{name}"), Attached::Tracepoint)
            }
            Site::RawTracepoint(name) => (name.to_owned(), Attached::Tracepoint),
            Site::Clock => ("cpu-clock".to_owned(), Attached::PerfClock),
            Site::Iterator(name) => (name.to_owned(), Attached::Iterator),
        };
        match self.refused(&symbol, way) {
            Some(why) => missing(point, symbol, why),
            None => decided(point, symbol, way, point.programs),
        }
    }

    /// What is done about a function; the error says why nothing is.
    fn function(
        &self,
        point: &Point,
        name: &'static str,
        parameters: usize,
    ) -> Result<Decision, String> {
        let found = self.functions.symbols.find(name);
        let (symbol, programs) = match &found {
            Found::Exact => (name, point.programs),
            Found::Clone(clone) if !point.on_clone.is_empty() => (&**clone, point.on_clone),
            Found::Clone(clone) => {
                return Err(format!("only {clone} is there, with other arguments"));
            }
            Found::Repeated(times) => return Err(format!("{times} functions have its name")),
            Found::Missing => return Err("not in this kernel, or inlined".to_owned()),
        };
        if found == Found::Exact
            && let Some(other) = (self.functions.parameters)(name)
            && other != parameters
        {
            return Err(other_prototype(name, other, parameters));
        }
        let not_typed = match self.not_typed(point, name, &found) {
            None => return Ok(decided(point, name.to_owned(), Attached::Fentry, point.typed)),
            Some(why) => why,
        };
        if self.kind == ProbeKind::Fentry {
            return Err(format!("{not_typed}, {ASKED_FENTRY}"));
        }
        if programs.is_empty() {
            return Err(not_typed);
        }
        if let Some(why) = self.refused(symbol, Attached::Kprobe) {
            return Err(why.to_owned());
        }
        let mut decision = decided(point, symbol.to_owned(), Attached::Kprobe, programs);
        decision.row.why_not_better = Some(not_typed);
        decision.row.lost =
            (!point.lost_by_kprobe.is_empty()).then(|| point.lost_by_kprobe.to_owned());
        Ok(decision)
    }

    /// Why a function cannot be probed by fentry and fexit; `None` if it can.
    fn not_typed(&self, point: &Point, name: &str, found: &Found) -> Option<String> {
        if self.kind == ProbeKind::Kprobe {
            return Some(ASKED_KPROBE.to_owned());
        }
        if let Found::Clone(clone) = found {
            return Some(format!("only {clone} is there, which is not in BTF"));
        }
        if point.typed.is_empty() {
            return Some("no program reads it by type".to_owned());
        }
        if let Err(why) = (self.functions.typed)(name) {
            return Some(why);
        }
        if let Some(why) = self.refused(name, Attached::Fentry) {
            return Some(format!("fentry: {why}"));
        }
        self.held_by.map(|leader| format!("goes the way of {leader}, which has a kprobe"))
    }

    fn refused(&self, symbol: &str, way: Attached) -> Option<&str> {
        self.functions.refused.get(&(symbol.to_owned(), way)).map(String::as_str)
    }
}

/// What is said of a function with another number of parameters.
fn other_prototype(name: &str, other: usize, parameters: usize) -> String {
    if name == CALLBACK && other == STOCK_CALLBACK_PARAMETERS {
        return "it is a stock kernel's (wait, mode, sync, key) here, not the series' \
                (epi, pollflags)"
            .to_owned();
    }
    format!("it takes {other} parameters here, not {parameters}")
}

fn decided(
    point: &Point,
    symbol: String,
    way: Attached,
    programs: &'static [&'static str],
) -> Decision {
    let row =
        PlanRow { point: point.name, symbol, attached: way, why_not_better: None, lost: None };
    Decision { row, site: point.site, way, programs }
}

fn missing(point: &Point, symbol: String, why: &str) -> Decision {
    let mut decision = decided(point, symbol, Attached::Missing, &[]);
    decision.row.lost = Some(format!("{} ({why})", point.lost));
    decision
}

/// Whether a decision is about this function.
fn is_of(decision: &Decision, function: &str) -> bool {
    matches!(decision.site, Site::Function(name, _) if name == function)
}

/// Whether a function's programs will be attached.
pub fn attaches(decisions: &[Decision], function: &str) -> bool {
    decisions.iter().any(|decision| is_of(decision, function) && !decision.programs.is_empty())
}

/// Names of all functions that have a point, those that stand in included.
pub fn functions() -> Vec<&'static str> {
    let name = |point: &Point| match point.site {
        Site::Function(name, _) => Some(name),
        _ => None,
    };
    let stand_ins = POINTS.iter().filter_map(|point| point.stand_in);
    let mut names: Vec<_> = POINTS.iter().chain(stand_ins).filter_map(name).collect();
    names.sort_unstable();
    names.dedup();
    names
}
