//! What is printed on stdout: whole, or to nobody. Which characters and colours
//! the reader's terminal gets is decided here and nowhere else.

use std::io::{self, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use anyhow::Context;
use uepoll_core::render::Charset;

use crate::options::Color;

/// How a line that says what is wrong begins, and words that say it within one:
/// the text renderer's. Names of processes are not looked at for their place is
/// another; should one be such a word, it is bold, and no harm done.
const WRONG_STARTS: [&str; 4] = ["books of ", "lost: ", "not known: ", "no probe on "];
const WRONG_WORDS: [&str; 3] = ["CORRUPT", "books OFF", "   loss "];

/// What stands where nothing is wrong although a word above is there.
const RIGHT_WORDS: [&str; 1] = ["   loss none"];

/// What is wrong.
const WRONG: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));

/// Whether anybody is left to read stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// What was printed was taken.
    There,
    /// The pipe is closed.
    Gone,
}

/// Writes to stdout; a reader that has gone away is no fault. `what` names the
/// text in an error.
///
/// # Errors
/// If stdout does not take it.
pub fn print(what: &str, text: &str) -> anyhow::Result<Reader> {
    write(&mut io::stdout().lock(), what, text)
}

/// The same for a report for people, what is wrong in it marked where `color`
/// asks for that.
///
/// # Errors
/// If stdout does not take it.
pub fn print_report(text: &str, color: Color) -> anyhow::Result<Reader> {
    let choice = match color {
        // Asks NO_COLOR, CLICOLOR, TERM and whether it is a terminal.
        Color::Auto => AutoStream::choice(&io::stdout()),
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
    };
    let text = if choice == ColorChoice::Never { text.to_owned() } else { emphasised(text) };
    // Every escape in the text is ours: core lets none of a process's through.
    print("report", &text)
}

fn write(to: &mut dyn Write, what: &str, text: &str) -> anyhow::Result<Reader> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error).with_context(|| format!("cannot write the {what} on stdout")),
    }
}

/// The text with every line that says what is wrong marked.
fn emphasised(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = match line.strip_suffix('\n') {
            Some(line) => (line, "\n"),
            None => (line, ""),
        };
        if says_what_is_wrong(line) {
            out.push_str(&format!("{WRONG}{line}{WRONG:#}{end}"));
        } else {
            out.push_str(line);
            out.push_str(end);
        }
    }
    out
}

fn says_what_is_wrong(line: &str) -> bool {
    let right = RIGHT_WORDS.iter().fold(line.to_owned(), |line, word| line.replace(word, ""));
    WRONG_STARTS.iter().any(|start| right.starts_with(start))
        || WRONG_WORDS.iter().any(|word| right.contains(word))
}

/// What the locale can show: the first of its variables that is set decides.
pub fn charset() -> Charset {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(std::env::var_os)
        .find(|value| !value.is_empty());
    charset_of(&set.unwrap_or_default().to_string_lossy())
}

fn charset_of(locale: &str) -> Charset {
    let locale = locale.to_ascii_lowercase();
    if locale.contains("utf-8") || locale.contains("utf8") { Charset::Utf8 } else { Charset::Ascii }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A writer that fails in one way.
    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_away_is_no_fault() {
        let gone = write(&mut Failing(io::ErrorKind::BrokenPipe), "report", "x");
        assert_eq!(gone.expect("no fault"), Reader::Gone);
        let error = write(&mut Failing(io::ErrorKind::StorageFull), "report", "x");
        assert_eq!(error.expect_err("full").to_string(), "cannot write the report on stdout");
    }

    #[test]
    fn lines_that_say_what_is_wrong_are_marked_and_the_others_left() {
        let text = "published 5\n  CORRUPT: magic\ncost 1 %   books balance   loss none\n";
        let marked = emphasised(text);
        let lines: Vec<&str> = marked.lines().collect();
        assert_eq!(lines[0], "published 5");
        assert!(lines[1].starts_with('\u{1b}') && lines[1].ends_with("\u{1b}[0m"), "{lines:?}");
        assert_eq!(lines[2], "cost 1 %   books balance   loss none");
        for wrong in
            ["cost 1 %   books balance   loss 17", "cost 1 %   books OFF in 1 of 3   loss none"]
        {
            assert!(says_what_is_wrong(wrong), "{wrong}");
        }
        assert!(!says_what_is_wrong("cost 1 %   books balance   loss none seen"));
    }

    #[test]
    fn without_marks_the_text_is_the_same() {
        let text = "lost: 3 records\nfine";
        let plain = emphasised(text).replace("\u{1b}[1m\u{1b}[31m", "").replace("\u{1b}[0m", "");
        assert_eq!(plain, text);
    }

    #[test]
    fn only_a_locale_that_says_utf8_gets_more_than_ascii() {
        assert_eq!(charset_of("en_US.UTF-8"), Charset::Utf8);
        assert_eq!(charset_of("C.utf8"), Charset::Utf8);
        assert_eq!(charset_of("C"), Charset::Ascii);
        assert_eq!(charset_of(""), Charset::Ascii);
    }
}
