//! What can be seen on a host and what to change, as plain data: the verdict of
//! every check and probe point, and their roll-up. Nothing is looked at here;
//! `render` below makes text and JSON of it.

mod render;

use std::fmt;

use crate::capture::{Attached, PlanRow, Protocol};
pub use render::{SCHEMA, json, text};

/// The verdict of one check or one probe point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is lost by it.
    Ok,
    /// Something is lost, the rest works.
    Degraded,
    /// It is not there.
    Missing,
    /// It could not be looked at; nothing follows from it.
    Unknown,
}

impl Verdict {
    /// The word for people and programs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Missing => "missing",
            Self::Unknown => "unknown",
        }
    }
}

/// What is looked at beside probe points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// What the kernel is and was built with.
    Kernel,
    /// What it allows us.
    Rights,
}

impl Section {
    /// The word for people and programs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Rights => "rights",
        }
    }
}

/// One check of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Where it is told.
    pub section: Section,
    /// What was looked at, in the kernel's words (`CAP_BPF`, `lockdown`).
    pub subject: &'static str,
    /// What came of it.
    pub verdict: Verdict,
    /// Nothing can be observed unless it is `ok`.
    pub essential: bool,
    /// What was found; for [`Verdict::Degraded`] and [`Verdict::Missing`] what
    /// is lost by it, for [`Verdict::Unknown`] why.
    pub found: String,
    /// What to do about it, if something can be done.
    pub remedy: Option<String>,
}

impl Check {
    /// A check that found all well.
    pub fn ok(section: Section, subject: &'static str, found: impl Into<String>) -> Self {
        let (found, verdict) = (found.into(), Verdict::Ok);
        Self { section, subject, verdict, essential: false, found, remedy: None }
    }

    /// A check that could not be made, and why.
    pub fn unknown(section: Section, subject: &'static str, why: impl Into<String>) -> Self {
        Self { verdict: Verdict::Unknown, ..Self::ok(section, subject, why) }
    }

    /// Something without which figures are lost, which ones, and what to do.
    pub fn degraded(
        section: Section,
        subject: &'static str,
        lost: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let found = Self::ok(section, subject, lost);
        Self { verdict: Verdict::Degraded, remedy: Some(remedy.into()), ..found }
    }

    /// Something without which nothing works, and what to do.
    pub fn essential(
        section: Section,
        subject: &'static str,
        lost: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let found = Self::degraded(section, subject, lost, remedy);
        Self { verdict: Verdict::Missing, essential: true, ..found }
    }

    /// Whether it keeps everything from working.
    pub fn forbids(&self) -> bool {
        self.essential && matches!(self.verdict, Verdict::Missing | Verdict::Degraded)
    }
}

/// Whether the kernel carries the series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Series {
    /// It does, with this protocol.
    Present(Protocol),
    /// It does not.
    Absent,
    /// Its types, which would tell, could not be read.
    Unknown,
}

/// One probe point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointCheck {
    /// Its row in the plan.
    pub row: PlanRow,
    /// What to do about it where it is not `ok`.
    pub remedy: Option<String>,
}

/// How the plan came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trial {
    /// Every probe was attached once, and taken away again.
    Made,
    /// None was: the plan follows from symbols and types alone.
    NotMade {
        /// Why not.
        why: String,
    },
}

/// Everything that was found of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examination {
    /// `uname -r`.
    pub release: String,
    /// Whether the kernel carries the series.
    pub series: Series,
    /// Checks, in the order in which they are told.
    pub checks: Vec<Check>,
    /// `--probe-kind`.
    pub probe_kind: &'static str,
    /// How the plan came about.
    pub trial: Trial,
    /// Probe points; none where the series is absent.
    pub points: Vec<PointCheck>,
}

/// What a host is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fitness {
    /// Every figure can be had.
    Fine,
    /// Some are lost.
    Degraded {
        /// Checks that lose something.
        checks: usize,
        /// Points that lose something, or are missing.
        points: usize,
    },
    /// None can be had.
    CannotRun {
        /// Why, and what to do: whole sentences without a full stop.
        why: Vec<String>,
    },
}

impl Fitness {
    /// The word for programs.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Degraded { .. } => "degraded",
            Self::CannotRun { .. } => "cannot_run",
        }
    }
}

impl Examination {
    /// What can be seen at a point. Where nothing was tried, all that can be
    /// said is what will be lost.
    pub fn verdict(&self, point: &PointCheck) -> Verdict {
        match (point.row.attached, &point.row.lost) {
            (Attached::Missing, Some(_)) => Verdict::Missing,
            (_, Some(_)) => Verdict::Degraded,
            (_, None) if self.trial == Trial::Made => Verdict::Ok,
            (_, None) => Verdict::Unknown,
        }
    }

    /// Rolls every verdict up into one.
    pub fn fitness(&self) -> Fitness {
        let why = self.obstacles();
        if !why.is_empty() {
            return Fitness::CannotRun { why };
        }
        let checks =
            self.checks.iter().map(|check| check.verdict).filter(|verdict| loses(*verdict)).count();
        let points = self.points.iter().filter(|point| loses(self.verdict(point))).count();
        match (checks, points) {
            (0, 0) => Fitness::Fine,
            (checks, points) => Fitness::Degraded { checks, points },
        }
    }

    /// What keeps everything from working, the gravest first.
    fn obstacles(&self) -> Vec<String> {
        if self.series == Series::Absent {
            return vec![format!(
                "this kernel ({}) does not carry the EPOLL_USERPOLL series, so it has no rings \
                 to look into; `uepoll help` works here, for the rest boot a patched kernel or \
                 try `cargo xtask demo`",
                self.release
            )];
        }
        let obstacles = obstacles(&self.checks);
        if !obstacles.is_empty() {
            return obstacles.iter().map(ToString::to_string).collect();
        }
        if let Trial::NotMade { why } = &self.trial {
            return vec![why.clone()];
        }
        let functions = [Attached::Kprobe, Attached::Fentry];
        if self.points.iter().any(|point| functions.contains(&point.row.attached)) {
            return Vec::new();
        }
        vec!["no function of epoll can be probed here; each point says why".to_owned()]
    }
}

/// What keeps everything from working, and the one thing to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// What it is.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

/// Checks that keep everything from working, those with one remedy together.
pub fn obstacles(checks: &[Check]) -> Vec<Obstacle> {
    let mut obstacles: Vec<Obstacle> = Vec::new();
    for check in checks.iter().filter(|check| check.forbids()) {
        let what = format!("{}: {}", check.subject, check.found);
        let remedy = check.remedy.clone().unwrap_or_default();
        match obstacles.iter_mut().find(|obstacle| obstacle.remedy == remedy) {
            Some(obstacle) => obstacle.what = format!("{}, {what}", obstacle.what),
            None => obstacles.push(Obstacle { what, remedy }),
        }
    }
    obstacles
}

/// Whether something is lost.
fn loses(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Degraded | Verdict::Missing)
}
