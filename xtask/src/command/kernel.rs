//! `cargo xtask kernel`: builds one of our kernels, or finds it in the cache.

use crate::kernel::{self, Flavour, check_each};

/// Options of `cargo xtask kernel`.
#[derive(clap::Args)]
pub struct Args {
    /// v2, inline, debug, delay or stock-6.12
    #[arg(long, default_value = "v2", value_parser = flavour)]
    flavour: Flavour,
    /// With the helpers inline as the original series has them (flavour inline)
    #[arg(long, conflicts_with_all = ["flavour", "debug"])]
    inline_helpers: bool,
    /// With KASAN, lockdep and fault injection (flavour debug)
    #[arg(long, conflicts_with = "flavour")]
    debug: bool,
    /// Only check that each patch applies and compiles on its own
    #[arg(long, conflicts_with_all = ["flavour", "inline_helpers", "debug"])]
    check_each: bool,
}

fn flavour(name: &str) -> Result<Flavour, String> {
    Flavour::named(name).ok_or_else(|| {
        let names = Flavour::ALL.map(|flavour| flavour.to_string());
        format!("the flavours are {}", names.join(", "))
    })
}

/// Builds; the image's path is all that goes to stdout.
///
/// # Errors
/// Whatever keeps it from being built.
pub fn run(args: Args) -> anyhow::Result<u8> {
    if args.check_each {
        check_each::run()?;
        return Ok(0);
    }
    let flavour = match args {
        Args { inline_helpers: true, .. } => Flavour::Inline,
        Args { debug: true, .. } => Flavour::Debug,
        Args { flavour, .. } => flavour,
    };
    println!("{}", kernel::ensure(flavour)?.join("bzImage").display());
    Ok(0)
}
