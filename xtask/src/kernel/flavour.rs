//! The kernels we build: which patches and options each is made of, and the key
//! under which it is cached.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use super::{Error, on, source};
use crate::paths;

/// Digits of a key.
pub const KEY_DIGITS: usize = 16;

/// Raised when the same inputs give another result: a change in how we build.
const FORMAT: &str = "1";

/// One of our kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// The port.
    V2,
    /// The port with its helpers inline, as the original series has them.
    Inline,
    /// The port with KASAN, lockdep and fault injection.
    Debug,
    /// The port with a delay between tail and slot, for tests.
    Delay,
    /// The same source and options without the port.
    Stock612,
}

/// What a flavour is made of.
#[derive(Debug)]
pub struct Recipe {
    /// The version of the source.
    pub version: String,
    /// Patches in their order.
    pub patches: Vec<PathBuf>,
    /// Configuration fragments; later ones win.
    pub fragments: Vec<PathBuf>,
    /// Stands for all of the above, and the compiler.
    pub key: String,
}

impl Flavour {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::V2, Self::Inline, Self::Debug, Self::Delay, Self::Stock612];

    /// The flavour with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|flavour| flavour.name() == name)
    }

    /// Whether the port is in it.
    pub fn is_ours(self) -> bool {
        self != Self::Stock612
    }

    /// The name of its source and object trees. One and the same for v2, inline
    /// and delay, which differ in one file: each is a minute after another.
    pub fn tree(self) -> &'static str {
        match self {
            Self::Inline | Self::Delay => Self::V2.name(),
            _ => self.name(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::Inline => "inline",
            Self::Debug => "debug",
            Self::Delay => "delay",
            Self::Stock612 => "stock-6.12",
        }
    }

    /// What to build it from, as the project and the system are now.
    ///
    /// # Errors
    /// If the source package, the compiler or the port is missing.
    pub fn recipe(self) -> Result<Recipe, Error> {
        let port = port();
        let mut patches = Vec::new();
        let mut fragments = vec![port.join("kernel.config")];
        if self.is_ours() {
            patches.extend(patches_in(&port.join("patches"))?);
        }
        match self {
            Self::Inline => patches.extend(patches_in(&port.join("inline-helpers"))?),
            Self::Delay => patches.extend(patches_in(&port.join("test"))?),
            Self::Debug => fragments.push(port.join("debug.config")),
            Self::V2 | Self::Stock612 => {}
        }
        let version = source::version()?;
        let mut hash = Sha256::new();
        let mut add = |bytes: &[u8]| {
            // The length keeps "ab" + "c" apart from "a" + "bc".
            hash.update(bytes.len().to_le_bytes());
            hash.update(bytes);
        };
        add(FORMAT.as_bytes());
        add(version.as_bytes());
        add(compiler_version()?.as_bytes());
        for file in patches.iter().chain(&fragments) {
            add(&fs::read(file).map_err(on("read", file))?);
        }
        let key = hash.finalize().iter().take(KEY_DIGITS / 2).map(|b| format!("{b:02x}")).collect();
        Ok(Recipe { version, patches, fragments, key })
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The folder of the port.
pub fn port() -> PathBuf {
    paths::project().join("kernel/linux-6.12")
}

/// The patches of a folder, by name, which is their order.
pub fn patches_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut patches: Vec<PathBuf> = fs::read_dir(folder)
        .map_err(on("read the patches in", folder))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "patch"))
        .collect();
    patches.sort();
    Ok(patches)
}

fn compiler_version() -> Result<String, Error> {
    let out = Command::new("gcc")
        .arg("--version")
        .output()
        .map_err(|_| Error::NotSetUp { what: "the program gcc".to_owned() })?;
    Ok(String::from_utf8_lossy(&out.stdout).lines().next().unwrap_or_default().to_owned())
}
