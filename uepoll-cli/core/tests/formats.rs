//! Outputs of a whole run, for browsers and for other tools. What is written
//! to the test folder here is looked at by `cargo xtask formats` with the tools
//! that it is for.

#[expect(dead_code, reason = "shared with other tests, each of which uses a part")]
mod fixture;
#[path = "fixture/run.rs"]
mod run;

use std::path::{Path, PathBuf};

use run::{FRAMES, info, show};
use uepoll_core::correlate::Correlator;
use uepoll_core::render::html::Page;
use uepoll_core::run::{RunInfo, Told, Viewer};

/// Where `cargo xtask formats` finds what was written.
fn written(name: &str, bytes: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("formats");
    std::fs::create_dir_all(&folder).expect("cargo made its parent");
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("a file in our own folder");
    path
}

fn page(hostile: bool, frames: u64) -> String {
    let mut page = Page::new(&info(hostile));
    show(&mut page, hostile, frames);
    page.finish()
}

#[test]
fn a_page_holds_no_markup_that_is_not_ours() {
    let page = page(true, 4);
    written("hostile.html", page.as_bytes());
    assert!(!page.contains("<img"), "a name became markup");
    assert_eq!(page.matches("</script>").count(), page.matches("<script").count());
    assert!(!page.contains('\u{1b}'));
}

#[test]
fn a_page_of_a_minute_is_small_and_asks_for_nothing() {
    let page = page(false, FRAMES);
    written("page.html", page.as_bytes());
    assert!(page.len() < 600_000, "{} bytes", page.len());
    for address in ["http:", "https:", "src=", "@import", "url("] {
        assert!(
            !page.contains(&format!("\"{address}")) && !page.contains(&format!(" {address}")),
            "{address}"
        );
    }
    assert!(page.contains("default-src 'none'"));
    assert!(!page.contains("NaN") && !page.contains("inf\""), "a number is none");
}

#[test]
fn a_page_of_nothing_is_a_page() {
    for (told, words) in [(false, "Nothing was told"), (true, "No ring was seen")] {
        let mut page = Page::new(&RunInfo::default());
        if told {
            let mut nothing = fixture::capture(vec![]);
            nothing.duration_ns = 0;
            let mut correlator = Correlator::default();
            page.interval(&Told::of_interval(nothing, &mut correlator, false));
        }
        let page = page.finish();
        assert!(page.contains(words) && page.contains("<footer"), "{page}");
    }
}
