//! The columns of the table of rings: head, width, what stands in a cell, how
//! rings are ordered by it.

use std::cmp::Ordering;

use uepoll_core::figures::FigureId;
use uepoll_core::quantile::{Bounds, Percentile};
use uepoll_core::render::units::{
    Rounding, grouped, marked_number, marked_percent, time, time_bounds,
};
use uepoll_core::render::{Charset, escaped, text};
use uepoll_core::report::{RingReport, Value};

use super::frame::greatest_depth;

/// What stands where there is no figure.
pub const ABSENT: &str = "-";

/// One column, in the order in which they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Process and descriptor.
    Ring,
    /// Name of the process.
    Comm,
    /// Published each second.
    Published,
    /// Share of adds that merged.
    Merged,
    /// Median of the time in the ring.
    InRingMedian,
    /// Its 99th percentile.
    InRingTail,
    /// 99th percentile of the wake-up latency.
    WakeUp,
    /// ESTALE each second.
    Estale,
    /// ENOSPC each second.
    Enospc,
    /// Depth at the end, and the greatest.
    Depth,
    /// Greatest depth of the last intervals.
    DepthBefore,
    /// Consumer's time: busy.
    Busy,
    /// On the CPU while the ring was empty.
    Empty,
    /// Waiting.
    Waiting,
}

impl Column {
    /// All of them, as they stand.
    pub const ALL: [Self; 14] = [
        Self::Ring,
        Self::Comm,
        Self::Published,
        Self::Merged,
        Self::InRingMedian,
        Self::InRingTail,
        Self::WakeUp,
        Self::Estale,
        Self::Enospc,
        Self::Depth,
        Self::DepthBefore,
        Self::Busy,
        Self::Empty,
        Self::Waiting,
    ];

    /// All of them, those first that matter most where there is little room.
    pub const BY_RANK: [Self; 14] = [
        Self::Ring,
        Self::Published,
        Self::InRingTail,
        Self::Depth,
        Self::Comm,
        Self::InRingMedian,
        Self::Merged,
        Self::Estale,
        Self::WakeUp,
        Self::Enospc,
        Self::Busy,
        Self::DepthBefore,
        Self::Empty,
        Self::Waiting,
    ];

    /// What stands above it.
    pub const fn head(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Comm => "comm",
            Self::Published => "published/s",
            Self::Merged => "merged",
            Self::InRingMedian => "in ring p50",
            Self::InRingTail => "in ring p99",
            Self::WakeUp => "wake-up p99",
            Self::Estale => "ESTALE/s",
            Self::Enospc => "ENOSPC/s",
            Self::Depth => "depth/max",
            Self::DepthBefore => "max depth",
            Self::Busy => "busy",
            Self::Empty => "empty",
            Self::Waiting => "waiting",
        }
    }

    /// Columns of the terminal that it takes at least.
    pub const fn width(self) -> usize {
        match self {
            Self::Ring | Self::Comm => 10,
            Self::Published | Self::WakeUp => 11,
            Self::Merged | Self::Busy | Self::Empty | Self::Waiting => 7,
            Self::InRingMedian | Self::InRingTail => 12,
            Self::Estale | Self::Enospc => 8,
            Self::Depth | Self::DepthBefore => 9,
        }
    }

    /// What it may take where there is room.
    pub const fn most(self) -> usize {
        match self {
            Self::Ring => 14,
            // 15 bytes is what the kernel keeps.
            Self::Comm => 15,
            Self::DepthBefore => 60,
            other => other.width(),
        }
    }

    /// Whether its cells begin on the left.
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Ring | Self::Comm | Self::DepthBefore)
    }

    /// Whether rings can be ordered by it.
    pub const fn orders(self) -> bool {
        !matches!(self, Self::DepthBefore)
    }

    /// What stands in the cell of a ring; no wider than `width`, cut with `~`.
    pub fn cell(self, ring: &RingReport, charset: Charset, width: usize) -> String {
        let rate = |id| number(ring.value(id), marked_number);
        let share = |id| number(ring.value(id), marked_percent);
        let cell = match self {
            Self::Ring => text::ring_name(ring),
            Self::Comm => {
                let comm = ring.owner.as_ref().map(|owner| owner.comm.as_str());
                return comm.map_or(ABSENT.into(), |comm| escaped(comm, charset, width));
            }
            Self::Published => rate(FigureId::PublishedRate),
            Self::Merged => share(FigureId::MergedShare),
            Self::InRingMedian => shown(in_ring(ring, Percentile::P50), time_bounds),
            Self::InRingTail => shown(in_ring(ring, Percentile::P99), time_bounds),
            Self::WakeUp => shown(wake_up(ring), |hi_ns| time(hi_ns, Rounding::Up)),
            Self::Estale => rate(FigureId::EstaleRate),
            Self::Enospc => rate(FigureId::EnospcRate),
            Self::Depth => format!(
                "{}/{}",
                shown(ring.left.map(u64::from), grouped),
                shown(greatest_depth(ring), grouped)
            ),
            // A picture, drawn of more than one interval.
            Self::DepthBefore => String::new(),
            Self::Busy => share(FigureId::ConsumerBusy),
            Self::Empty => share(FigureId::ConsumerEmpty),
            Self::Waiting => share(FigureId::ConsumerWaiting),
        };
        cut(cell, width)
    }

    /// The order of two rings: the larger figure first, names ascending, rings
    /// without this figure last whichever way round.
    pub fn order(self, reversed: bool, one: &RingReport, other: &RingReport) -> Ordering {
        let turned = |order: Ordering| if reversed { order.reverse() } else { order };
        let name = |ring: &RingReport| ring.owner.as_ref().map(|owner| (owner.pid, owner.fd));
        match self {
            Self::Ring => turned(name(one).cmp(&name(other))),
            Self::Comm => {
                let comm = |ring: &RingReport| ring.owner.as_ref().map(|owner| owner.comm.clone());
                turned(comm(one).cmp(&comm(other)))
            }
            _ => match (self.key(one), self.key(other)) {
                (Some(one), Some(other)) => turned(other.total_cmp(&one)),
                (one, other) => other.is_some().cmp(&one.is_some()),
            },
        }
    }

    /// The figure by which rings are ordered; of bounds the upper one.
    fn key(self, ring: &RingReport) -> Option<f64> {
        let value = |id| match ring.value(id) {
            Value::Number { value, .. } => Some(*value),
            Value::Count { value, .. } => Some(*value as f64),
            _ => None,
        };
        let upper = |bounds: Bounds| bounds.hi.map_or(f64::INFINITY, |hi| hi as f64);
        match self {
            Self::Ring | Self::Comm => None,
            Self::Published => value(FigureId::PublishedRate),
            Self::Merged => value(FigureId::MergedShare),
            Self::InRingMedian => in_ring(ring, Percentile::P50).map(upper),
            Self::InRingTail => in_ring(ring, Percentile::P99).map(upper),
            Self::WakeUp => wake_up(ring).map(|hi_ns| hi_ns as f64),
            Self::Estale => value(FigureId::EstaleRate),
            Self::Enospc => value(FigureId::EnospcRate),
            Self::Depth | Self::DepthBefore => greatest_depth(ring).map(|depth| depth as f64),
            Self::Busy => value(FigureId::ConsumerBusy),
            Self::Empty => value(FigureId::ConsumerEmpty),
            Self::Waiting => value(FigureId::ConsumerWaiting),
        }
    }
}

/// A number or its absence.
pub fn number(value: &Value, marked: fn(f64, uepoll_core::report::Accuracy) -> String) -> String {
    match value {
        Value::Number { value, accuracy } => marked(*value, *accuracy),
        Value::Count { value, accuracy } => format!("{}{}", accuracy.mark(), grouped(*value)),
        _ => ABSENT.into(),
    }
}

fn shown<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| ABSENT.into(), show)
}

fn in_ring(ring: &RingReport, percentile: Percentile) -> Option<Bounds> {
    match ring.value(FigureId::Residency) {
        Value::Interval(distribution) => distribution.percentiles[percentile as usize],
        _ => None,
    }
}

/// Upper edge of the bucket of the 99th percentile.
pub fn wake_up(ring: &RingReport) -> Option<u64> {
    match ring.value(FigureId::WakeUp) {
        Value::Distribution(wake_up) => wake_up.percentiles[Percentile::P99 as usize]?.hi,
        _ => None,
    }
}

/// A figure that finds no room must not look like another figure.
fn cut(text: String, width: usize) -> String {
    if text.chars().count() <= width {
        return text;
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}~")
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn every_column_has_a_rank_and_a_head_that_fits() {
        for column in Column::ALL {
            assert!(Column::BY_RANK.contains(&column), "{column:?}");
            assert!(column.head().len() <= column.width() && column.width() <= column.most());
        }
    }

    #[test]
    fn heads_name_figures_by_the_words_of_the_table() {
        for (column, id) in [
            (Column::Published, FigureId::PublishedRate),
            (Column::Merged, FigureId::MergedShare),
            (Column::InRingTail, FigureId::Residency),
            (Column::WakeUp, FigureId::WakeUp),
            (Column::Estale, FigureId::EstaleRate),
            (Column::Enospc, FigureId::EnospcRate),
            (Column::Depth, FigureId::Depth),
            (Column::Busy, FigureId::ConsumerBusy),
            (Column::Waiting, FigureId::ConsumerWaiting),
        ] {
            assert!(column.head().starts_with(id.row().head), "{column:?}");
        }
    }

    #[test]
    fn a_figure_without_room_is_marked_as_cut() {
        assert_eq!(cut("1 234 567".into(), 9), "1 234 567");
        assert_eq!(cut("1 234 567".into(), 6), "1 234~");
    }

    #[test]
    fn rings_without_a_figure_are_last_either_way() {
        let frame = fixture::frame(0);
        let [busy, quiet] = &frame.report.rings[..2] else { panic!("two rings") };
        assert!(in_ring(quiet, Percentile::P99).is_none());
        for reversed in [false, true] {
            let order = Column::InRingTail.order(reversed, busy, quiet);
            assert_eq!(order, Ordering::Less, "reversed: {reversed}");
        }
        assert_eq!(Column::Published.order(false, busy, quiet), Ordering::Less);
        assert_eq!(Column::Published.order(true, busy, quiet), Ordering::Greater);
    }
}
