//! How a run is named on a command line: FILE, FILE#NUMBER, FILE#KEY=VALUE.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A file and which of its runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunName {
    /// The file.
    pub path: PathBuf,
    /// The run.
    pub which: Which,
}

/// Which run of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The last one.
    Last,
    /// That of this number.
    Number(u32),
    /// The last one with this label.
    Label(String, String),
}

impl std::fmt::Display for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Last => f.write_str("at all"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Label(key, value) => write!(f, "labelled {key}={value}"),
        }
    }
}

impl RunName {
    /// What a word of the command line names. A file that is really called so,
    /// with a `#` in its name, comes first.
    ///
    /// # Errors
    /// If what follows the `#` is neither a number nor a label.
    pub fn parse(text: &OsStr) -> Result<Self, String> {
        Self::parse_where(text, Path::exists)
    }

    fn parse_where(text: &OsStr, exists: impl Fn(&Path) -> bool) -> Result<Self, String> {
        let bytes = text.as_bytes();
        let split = bytes.iter().rposition(|byte| *byte == b'#');
        let Some(at) = split.filter(|_| !exists(Path::new(text))) else {
            return Ok(Self { path: text.into(), which: Which::Last });
        };
        let path = PathBuf::from(OsString::from(OsStr::from_bytes(&bytes[..at])));
        let run = String::from_utf8_lossy(&bytes[at + 1..]);
        let which = match (run.parse::<u32>(), run.split_once('=')) {
            (Ok(number), _) if number > 0 => Which::Number(number),
            (_, Some((key, value))) if !key.is_empty() => Which::Label(key.into(), value.into()),
            _ => {
                return Err(format!(
                    "`{run}` names no run: write its number after the file, as {path}#2, or one \
                     of its labels, as {path}#commit=abc",
                    path = path.display()
                ));
            }
        };
        Ok(Self { path, which })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RunName, String> {
        RunName::parse_where(OsStr::new(text), |path| path == Path::new("odd#2"))
    }

    fn name(path: &str, which: Which) -> Result<RunName, String> {
        Ok(RunName { path: path.into(), which })
    }

    #[test]
    fn a_run_is_named_by_number_or_label_and_else_is_the_last() {
        assert_eq!(parse("a.uepoll"), name("a.uepoll", Which::Last));
        assert_eq!(parse("a.uepoll#2"), name("a.uepoll", Which::Number(2)));
        assert_eq!(parse("a#b=c=d"), name("a", Which::Label("b".into(), "c=d".into())));
        assert_eq!(parse("odd#2"), name("odd#2", Which::Last));
        assert_eq!(parse("odd#2#3"), name("odd#2", Which::Number(3)));
    }

    #[test]
    fn what_names_no_run_is_refused_with_what_would() {
        for text in ["a#", "a#0", "a#x", "a#=x", "a#-1"] {
            assert!(parse(text).expect_err(text).contains("as a#2"), "{text}");
        }
    }
}
