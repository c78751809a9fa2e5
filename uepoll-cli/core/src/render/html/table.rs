//! Tables of the page: one way to write them.

/// How a column stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// Numbers, under this head.
    Numbers(&'static str),
    /// Words, under this head.
    Words(&'static str),
    /// Without a head.
    Bare,
}

/// A table that scrolls within itself where it is too wide; `rows` is HTML.
pub(super) fn table(class: &str, columns: &[Column], rows: &str) -> String {
    let heads: String = columns
        .iter()
        .map(|column| match column {
            Column::Numbers(head) => format!("<th scope=\"col\">{head}</th>"),
            Column::Words(head) => format!("<th scope=\"col\" class=\"words\">{head}</th>"),
            Column::Bare => "<td></td>".to_owned(),
        })
        .collect();
    format!(
        "<div class=\"scroll\"><table class=\"{class}\"><thead><tr>{heads}</tr></thead>\
         <tbody>{rows}</tbody></table></div>"
    )
}
