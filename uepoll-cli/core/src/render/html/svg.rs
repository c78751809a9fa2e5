//! Scales, paths and axes: what every chart is drawn with. Coordinates are in
//! tenths at most, which keeps the page small.

/// Width of every chart.
pub(super) const WIDTH: f64 = 960.0;

/// Where plots begin: names of lanes and values of axes stand before.
pub(super) const LEFT: f64 = 196.0;

/// Where they end.
pub(super) const RIGHT: f64 = WIDTH - 14.0;

/// A coordinate.
pub(super) fn at(value: f64) -> String {
    let tenths = (value * 10.0).round();
    if tenths % 10.0 == 0.0 {
        format!("{}", tenths / 10.0)
    } else {
        format!("{:.1}", tenths / 10.0)
    }
}

/// From a range of values to one of coordinates; a range without length maps to
/// its beginning.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    pub(super) from: (f64, f64),
    pub(super) to: (f64, f64),
}

impl Scale {
    /// Of one value; never outside.
    pub(super) fn place(&self, value: f64) -> f64 {
        let length = self.from.1 - self.from.0;
        let share = if length > 0.0 { (value - self.from.0) / length } else { 0.0 };
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        self.to.0 + share * (self.to.1 - self.to.0)
    }
}

/// A line through points, without those that move it by nothing.
pub(super) fn line(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    let mut last = None;
    for (x, y) in points {
        let place = (at(*x), at(*y));
        if last.as_ref() == Some(&place) {
            continue;
        }
        path.push_str(if path.is_empty() { "M" } else { "L" });
        path.push_str(&format!("{} {}", place.0, place.1));
        last = Some(place);
    }
    path
}

/// The area between two lines that share their x.
pub(super) fn band(lower: &[(f64, f64)], upper: &[(f64, f64)]) -> String {
    let around: Vec<_> = lower.iter().chain(upper.iter().rev()).copied().collect();
    if around.is_empty() { String::new() } else { line(&around) + "Z" }
}

/// A rectangle as part of a path.
pub(super) fn rectangle(x: f64, y: f64, width: f64, height: f64) -> String {
    format!("M{} {}h{}v{}h-{}z", at(x), at(y), at(width), at(height), at(width))
}

/// `<path>` of a class.
pub(super) fn path(class: &str, d: &str) -> String {
    if d.is_empty() { String::new() } else { format!("<path class=\"{class}\" d=\"{d}\"/>") }
}

/// `<text>` of a class; `text` is HTML already.
pub(super) fn text(class: &str, x: f64, y: f64, text: &str) -> String {
    format!("<text class=\"{class}\" x=\"{}\" y=\"{}\">{text}</text>", at(x), at(y))
}

/// Round steps that divide `length` into at most `most` parts.
pub(super) fn round_step(length: f64, most: f64) -> f64 {
    let least = length / most;
    if !(least.is_finite() && least > 0.0) {
        return 1.0;
    }
    let power = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| *step >= least);
    step.unwrap_or(power * 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_leaves_its_scale() {
        let scale = Scale { from: (0.0, 10.0), to: (100.0, 200.0) };
        for (value, place) in [(5.0, 150.0), (-1.0, 100.0), (99.0, 200.0), (f64::NAN, 100.0)] {
            assert_eq!(scale.place(value), place);
        }
        let empty = Scale { from: (3.0, 3.0), to: (7.0, 9.0) };
        assert_eq!(empty.place(3.0), 7.0);
    }

    #[test]
    fn steps_are_round() {
        for (length, step) in [(10.0, 2.0), (60.0, 10.0), (0.9, 0.2), (0.0, 1.0)] {
            assert!((round_step(length, 6.0) - step).abs() < 1e-9, "{length}");
        }
    }
}
