//! Strings from processes are hostile: whatever a terminal could take for a
//! command is escaped before it is printed.

/// What the reader's locale can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// Every printable character.
    Utf8,
    /// ASCII alone.
    Ascii,
}

/// `text` without control characters, line breaks, invisible or direction
/// characters, each replaced by its escape; in at most `width` columns, cut
/// with `~` if it is longer. A character that may take two columns counts two.
pub fn escaped(text: &str, charset: Charset, width: usize) -> String {
    let pieces: Vec<(String, usize)> = text.chars().map(|c| piece(c, charset)).collect();
    let whole: usize = pieces.iter().map(|(_, columns)| columns).sum();
    // Where all fits nothing is cut; else one column is left for the mark.
    let room = if whole <= width { width } else { width.saturating_sub(1) };
    let mut out = String::new();
    let mut used = 0;
    for (piece, columns) in pieces {
        if used + columns > room {
            out.push('~');
            break;
        }
        used += columns;
        out.push_str(&piece);
    }
    out
}

/// One character as it is printed, and the columns it takes at most.
fn piece(c: char, charset: Charset) -> (String, usize) {
    match c {
        '\\' => ("\\\\".into(), 2),
        ' '..='~' => (c.into(), 1),
        _ if charset == Charset::Utf8 && is_harmless(c) => {
            (c.into(), if (c as u32) < 0x1100 { 1 } else { 2 })
        }
        _ if (c as u32) < 0x100 => (format!("\\x{:02x}", c as u32), 4),
        _ => {
            let escape = format!("\\u{{{:x}}}", c as u32);
            let columns = escape.len();
            (escape, columns)
        }
    }
}

/// Printable, of a width of its own, and without influence on its neighbours:
/// letters and digits of any script, and the replacement character.
fn is_harmless(c: char) -> bool {
    c.is_alphanumeric() || c == '\u{fffd}'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let hostile = "a\x1b[2J\nb\r\t\u{202e}\u{9b}\u{200b}\\";
        for charset in [Charset::Utf8, Charset::Ascii] {
            let out = escaped(hostile, charset, 200);
            assert_eq!(out, "a\\x1b[2J\\x0ab\\x0d\\x09\\u{202e}\\x9b\\u{200b}\\\\");
        }
    }

    #[test]
    fn ascii_readers_get_ascii() {
        assert_eq!(escaped("wörk\u{fffd}", Charset::Ascii, 80), "w\\xf6rk\\u{fffd}");
        assert_eq!(escaped("wörk\u{fffd}", Charset::Utf8, 80), "wörk\u{fffd}");
    }

    #[test]
    fn long_strings_are_cut_within_their_columns_and_never_inside_an_escape() {
        assert_eq!(escaped("abcdef", Charset::Utf8, 6), "abcdef");
        assert_eq!(escaped("abcdefg", Charset::Utf8, 6), "abcde~");
        assert_eq!(escaped("ab\x1bcd", Charset::Utf8, 5), "ab~");
        assert_eq!(escaped("日本語", Charset::Utf8, 5), "日本~");
    }
}
