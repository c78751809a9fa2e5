//! `uepoll stress` on a real ring: it loses nothing, and says so.

use anyhow::ensure;

use super::{Bench, table};

table![stress_eventfd_loses_nothing];

fn stress_eventfd_loses_nothing(bench: &Bench) -> anyhow::Result<()> {
    let arguments = ["stress", "--producers", "8", "--items", "8", "--events", "100000"];
    let report = bench.uepoll_json(&arguments)?;
    ensure!(report.is_object(), "{report}");
    Ok(())
}
