//! The heat map of residency: columns of time, rows of half octaves, eight
//! shades by weight. One path for each shade keeps it small.

use super::lane::Lane;
use super::series::{Column, Heat, ROWS, row_floor_ns};
use super::svg::{LEFT, RIGHT, Scale, line, path, rectangle, text};
use super::time::Span;
use super::words::{ABSENT, bounds, time_up};
use crate::figures::FigureId;
use crate::quantile::Bounds;
use crate::render::units::grouped;

const HEIGHT: f64 = 168.0;

/// Shades, palest first.
const SHADES: usize = 8;

/// The lane; one word where no position was sampled.
pub(super) fn lane(heat: &Heat, span: Span) -> Lane {
    let name = FigureId::Residency.row().head;
    let columns = || heat.columns().values();
    let filled = |row: usize| columns().any(|column| column.upper[row] > 0);
    let first = (0..ROWS).find(|row| filled(*row));
    let last = (0..ROWS).rev().find(|row| filled(*row));
    let (Some(first), Some(last)) = (first, last) else {
        return Lane::word(name, "no position was sampled and consumed");
    };
    // Room around what there is, and more than one row.
    let (first, last) = (first.saturating_sub(1), (last + 2).min(ROWS));
    let y = Scale { from: (first as f64, last as f64), to: (HEIGHT, 0.0) };
    let most = heaviest(heat);
    let mut shades = vec![String::new(); SHADES];
    for (start_ns, column) in heat.columns() {
        if !span.meets(*start_ns, heat.step_ns()) {
            continue;
        }
        let from = span.place(*start_ns);
        let to = span.place(start_ns.saturating_add(heat.step_ns()));
        for row in first..last {
            let weight = column.upper[row];
            if weight > 0 {
                let (high, low) = (y.place(row as f64 + 1.0), y.place(row as f64));
                // A little wider, so that no seam shows between neighbours.
                let cell = rectangle(from, high, (to - from).max(1.0) + 0.2, low - high + 0.2);
                shades[shade(weight, most)].push_str(&cell);
            }
        }
    }
    let mut drawing = axes(first, last, y);
    for (shade, cells) in shades.iter().enumerate() {
        drawing.push_str(&path(&format!("heat h{shade}"), cells));
    }
    Lane { name: name.into(), unit: "no longer than".into(), height: HEIGHT, drawing }
}

fn heaviest(heat: &Heat) -> u64 {
    let cells = heat.columns().values().flat_map(|column| column.upper);
    cells.max().unwrap_or(0)
}

/// By the logarithm: one long position beside thousands of short ones is seen.
fn shade(weight: u64, most: u64) -> usize {
    let share = ((weight + 1) as f64).ln() / ((most.max(1) + 1) as f64).ln();
    ((share * SHADES as f64) as usize).min(SHADES - 1)
}

fn axes(first: usize, last: usize, y: Scale) -> String {
    let mut out = String::new();
    let mut grid = String::new();
    for power in 0..12 {
        let value_ns = 10u64.pow(power);
        let row = place_of(value_ns);
        if row > first as f64 && row < last as f64 {
            let up = y.place(row);
            grid.push_str(&line(&[(LEFT, up), (RIGHT, up)]));
            let name = time_up(value_ns).replace(".0\u{a0}", "\u{a0}");
            out.push_str(&text("tick end", LEFT - 8.0, up + 4.0, &name));
        }
    }
    path("grid", &grid) + &out
}

/// Where a value lies among the rows, each of which is as long as its values
/// are apart: no cell reaches below a line that all of it is beyond.
fn place_of(value_ns: u64) -> f64 {
    let octave = value_ns.max(1).ilog2();
    (f64::from(octave) + value_ns.max(1) as f64 / (1u64 << octave) as f64 - 1.0) * 2.0
}

/// What the shades mean; empty where there are none.
pub(super) fn legend(heat: &Heat) -> String {
    if heaviest(heat) == 0 {
        return String::new();
    }
    let mut swatches = String::new();
    for shade in 0..SHADES {
        let d = rectangle(shade as f64 * 14.0, 0.0, 14.0, 10.0);
        swatches.push_str(&path(&format!("heat h{shade}"), &d));
    }
    format!(
        "<p class=\"legend\">1 position <svg viewBox=\"0 0 112 10\" aria-hidden=\"true\">\
         {swatches}</svg> {} in a cell, by the logarithm</p>",
        grouped(heaviest(heat)).replace(' ', "\u{a0}")
    )
}

/// Bounds of the median of what was published at a moment.
pub(super) fn median_at(heat: &Heat, time_ns: u64) -> String {
    let start_ns = time_ns - time_ns % heat.step_ns().max(1);
    let Some((lower, upper)) = heat.columns().get(&start_ns).and_then(|it| Column::median_rows(it))
    else {
        return ABSENT.into();
    };
    // The last row holds all that is longer.
    let hi = upper.filter(|row| row + 1 < ROWS).map(|row| row_floor_ns(row + 1));
    bounds(Bounds { lo: if lower == 0 { 0 } else { row_floor_ns(lower) }, hi })
}

#[cfg(test)]
mod tests {
    use uepoll_common::record::Resolved;

    use super::*;
    use crate::render::html::series::row_of;

    #[test]
    fn a_line_of_the_axis_lies_within_the_row_of_its_value() {
        for power in 0..12 {
            let value_ns = 10u64.pow(power);
            assert_eq!(place_of(value_ns) as usize, row_of(value_ns), "{value_ns}");
        }
    }

    #[test]
    fn what_is_beyond_the_last_row_has_no_upper_bound() {
        let mut heat = Heat::default();
        heat.push(&Resolved {
            kind: 1,
            ring: 0,
            position: 0,
            item: 0,
            arrival_ns: 0,
            add_entry_ns: 0,
            add_exit_ns: 0,
            consumed_lo_ns: 2000 * 1_000_000_000,
            consumed_hi_ns: 2001 * 1_000_000_000,
            sample_shift: 0,
            interval: 0,
            waker_tid: 0,
            flags: 0,
        });
        assert!(median_at(&heat, 0).starts_with('≥'), "{}", median_at(&heat, 0));
    }

    #[test]
    fn a_single_position_is_seen_beside_millions() {
        assert_eq!(shade(10_000_000, 10_000_000), SHADES - 1);
        assert_eq!(shade(1, 10_000_000), 0);
        assert!(shade(1000, 10_000_000) > 2);
        assert_eq!(shade(1, 1), SHADES - 1);
    }
}
