//! Applying one patch, and saying exactly what is wrong with one that does not
//! apply. No fuzz: a hunk that has to be guessed is a hunk to look at.

use std::path::Path;
use std::process::Command;

use super::Error;

/// The files that a patch changes or makes, relative to the source's root.
pub fn files(patch: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in patch.lines() {
        let name = line.strip_prefix("+++ b/").or_else(|| line.strip_prefix("--- a/"));
        let name = name.map(|name| name.split('\t').next().unwrap_or(name).to_owned());
        files.extend(name.filter(|name| !files.contains(name)));
    }
    files
}

/// Applies `patch` to the files below `root`.
///
/// # Errors
/// [`Error::Patch`] with the first hunk that fails.
pub fn apply(patch: &Path, root: &Path, version: &str) -> Result<(), Error> {
    let out = Command::new("patch")
        .args(["--strip=1", "--fuzz=0", "--force", "--no-backup-if-mismatch"])
        .arg("--directory")
        .arg(root)
        .arg("--input")
        .arg(patch)
        .env("LC_ALL", "C")
        .output()
        .map_err(|_| Error::NotSetUp { what: "the program patch".to_owned() })?;
    if out.status.success() {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&out.stdout);
    let (file, hunk) = first_failure(&output);
    Err(Error::Patch { patch: patch.to_owned(), version: version.to_owned(), hunk, file })
}

/// File and hunk of the first failure in what `patch` printed.
fn first_failure(output: &str) -> (String, String) {
    let mut file = "an unnamed file".to_owned();
    for line in output.lines() {
        if let Some(name) = line.strip_prefix("patching file ") {
            file = name.trim_matches('\'').to_owned();
        }
        if let Some(hunk) = line.strip_prefix("Hunk #").filter(|hunk| hunk.contains("FAILED")) {
            let hunk = hunk.replace(" FAILED at ", " (line ");
            return (file, hunk.trim_end_matches('.').to_owned() + ")");
        }
    }
    (file, format!("? ({})", output.lines().last().unwrap_or("patch said nothing").trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "one\ntwo\nthree\nfour\n";
    const PATCH: &str = "Subject: x\n\n--- a/d/f.c\n+++ b/d/f.c\n@@ -1,4 +1,4 @@\n one\n-two\n\
                         +2\n three\n four\n--- /dev/null\n+++ b/new.c\n@@ -0,0 +1 @@\n+new\n";

    fn tree(content: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("d")).unwrap();
        std::fs::write(folder.path().join("d/f.c"), content).unwrap();
        let patch = folder.path().join("0001-x.patch");
        std::fs::write(&patch, PATCH).unwrap();
        (folder, patch)
    }

    #[test]
    fn every_file_of_a_patch_is_named_once() {
        assert_eq!(files(PATCH), ["d/f.c", "new.c"]);
    }

    #[test]
    fn a_patch_that_applies_changes_and_makes_files() {
        let (folder, patch) = tree(OLD);
        apply(&patch, folder.path(), "6.12").unwrap();
        let read = |name| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(
            (read("d/f.c").as_str(), read("new.c").as_str()),
            ("one\n2\nthree\nfour\n", "new\n")
        );
    }

    #[test]
    fn a_patch_that_does_not_apply_names_patch_file_and_hunk() {
        let (folder, patch) = tree("one\nTWO\nthree\nfour\n");
        let message = apply(&patch, folder.path(), "6.12.200").unwrap_err().to_string();
        for part in ["0001-x.patch", "6.12.200", "hunk 1 (line 1) of d/f.c"] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
}
