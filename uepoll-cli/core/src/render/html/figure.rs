//! A chart within the page: its drawing, what it is in words, its legend, and
//! the values that the page's script reads out where one points.

use serde_json::json;

use super::words::html;
use crate::render::json::ascii;

/// Values along the x axis of a chart.
#[derive(Default)]
pub(super) struct Readout {
    /// What the x axis is.
    pub(super) axis: &'static str,
    /// What is read out at each place.
    pub(super) names: Vec<String>,
    /// Places, ascending: coordinate, the axis' value, a text for each name.
    pub(super) places: Vec<(f64, String, Vec<String>)>,
}

/// One series of a legend.
pub(super) struct Key {
    /// Number of its colour and dashes.
    pub(super) class: usize,
    /// Its name.
    pub(super) name: &'static str,
}

/// A chart.
pub(super) struct Chart {
    /// Unique in the page.
    pub(super) id: String,
    /// Its heading.
    pub(super) title: &'static str,
    /// What is drawn, and what it says, as text.
    pub(super) description: String,
    /// Height of the drawing.
    pub(super) height: f64,
    /// Where the cursor reaches from and to.
    pub(super) cursor: (f64, f64),
    /// The drawing.
    pub(super) drawing: String,
    /// Series that can be hidden; none: no legend.
    pub(super) keys: Vec<Key>,
    /// More below the drawing, as HTML.
    pub(super) below: String,
    /// What can be read out.
    pub(super) readout: Readout,
}

impl Chart {
    /// As HTML.
    pub(super) fn html(&self) -> String {
        let Self { id, title, height, drawing, below, .. } = self;
        let (top, bottom) = self.cursor;
        let description = html(&self.description);
        let mut keys = String::new();
        for key in &self.keys {
            let (class, name) = (key.class, html(key.name));
            keys.push_str(&format!(
                "<button type=\"button\" class=\"key\" aria-pressed=\"true\" \
                 data-series=\"{class}\"><svg viewBox=\"0 0 30 10\" aria-hidden=\"true\">\
                 <path class=\"curve s{class}\" d=\"M1 5h28\"/></svg>{name}</button>"
            ));
        }
        if !keys.is_empty() {
            keys = format!(
                "<div class=\"keys\" role=\"group\" aria-label=\"Series shown\">{keys}</div>"
            );
        }
        let places: Vec<_> = self.readout.places.iter().collect();
        let data = json!({
            "axis": self.readout.axis,
            "names": self.readout.names,
            "x": places.iter().map(|place| (place.0 * 10.0).round() / 10.0).collect::<Vec<_>>(),
            "at": places.iter().map(|place| &place.1).collect::<Vec<_>>(),
            "values": places.iter().map(|place| &place.2).collect::<Vec<_>>(),
        });
        format!(
            "<figure class=\"chart\" id=\"{id}\"><h3>{title}</h3>\
             <p class=\"what\" id=\"{id}-what\">{description}</p>{keys}\
             <div class=\"scroll\"><svg viewBox=\"0 0 960 {height}\" role=\"img\" \
             aria-label=\"{title}\" aria-describedby=\"{id}-what\" data-top=\"{top}\" \
             data-bottom=\"{bottom}\">{drawing}</svg></div>{below}<p class=\"readout\" hidden></p>\
             <details class=\"values\" hidden><summary>The same as a table</summary></details>\
             <script type=\"application/json\">{}</script></figure>\n",
            inert(&data.to_string())
        )
    }
}

/// JSON that no HTML parser takes for anything else, within a script element.
fn inert(document: &str) -> String {
    // All three occur within strings alone.
    ascii(document).replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_ends_no_script() {
        let data = inert(&json!({ "a": "</script><!-- & \u{2028}" }).to_string());
        assert!(!data.contains(['<', '>', '&', '\u{2028}']), "{data}");
        let back: serde_json::Value = serde_json::from_str(&data).expect("still JSON");
        assert_eq!(back["a"], "</script><!-- & \u{2028}");
    }
}
