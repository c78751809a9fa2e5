"""Opens pages in Chromium: they render without a complaint, ask for nothing,
answer to pointer and keyboard, fit narrow screens, and hostile names stay
text. Leaves pictures beside them."""

import os
import sys

from browser import Browser

SHOWN = "[...document.querySelectorAll('section[data-ring]')].filter(it => !it.hidden).map(it => it.id).join()"


def quiet(browser, path):
    assert not browser.complaints(), f"{path}: {browser.complaints()[0]}"
    outside = [url for url in browser.requests() if not url.startswith(("data:", f"file://{path}"))]
    assert not outside, f"{path} asks for {outside}"


def reads_values(browser, chart):
    """By keyboard and by pointer, and as a table."""
    drawing, readout = f"#{chart} .scroll > svg", f"document.querySelector('#{chart} .readout').textContent"
    hint = browser.value(readout)
    browser.value(f"document.querySelector('{drawing}').focus()")
    assert browser.value("document.activeElement.getAttribute('role')") == "slider"
    browser.key("ArrowRight")
    first = browser.value(readout)
    browser.key("End")
    last = browser.value(readout)
    assert len({hint, first, last}) == 3, f"{chart}: the keyboard reads nothing: {first!r}"
    spoken = browser.value(f"document.querySelector('{drawing}').getAttribute('aria-valuetext')")
    assert spoken == last, f"{chart}: {spoken!r} is spoken where {last!r} is shown"
    x, y = browser.middle(drawing)
    browser.mouse("mouseMoved", x, y)
    assert browser.value(readout) not in (hint, last), f"{chart}: the pointer reads nothing"
    browser.click(f"#{chart} .values summary")
    browser.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    rows = browser.value(f"document.querySelectorAll('#{chart} .values tbody tr').length")
    assert rows > 10, f"{chart}: a table of {rows} rows"


def works(browser, path):
    browser.open(path)
    assert browser.value("document.title") == "uepoll report"
    assert browser.value("getComputedStyle(document.querySelector('.tiles')).display") == "grid", "no style"
    first = browser.value(SHOWN)
    assert "," not in first, "more than one ring is shown at first"
    reads_values(browser, f"{first}-times")
    reads_values(browser, f"{first}-time")
    browser.click(f"#{first}-times .key")
    hidden = f"document.querySelector('#{first}-times g[data-series]').getAttribute('visibility')"
    assert browser.value(hidden) == "hidden", "a series cannot be hidden"
    browser.click("tbody tr:nth-child(2) a[data-shows]")
    second = browser.value(SHOWN)
    assert second not in ("", first), "no other ring can be chosen"
    browser.click("#all-rings")
    assert "," in browser.value(SHOWN), "rings cannot be shown together"
    quiet(browser, path)


def is_inert(browser, path):
    browser.open(path)
    quiet(browser, path)
    assert browser.value("document.title") == "uepoll report", "a name ran as a script"
    assert browser.value("document.images.length") == 0, "a name became an element"
    assert "</script><img" in browser.value("document.body.innerText"), "the name is not shown"
    browser.value("document.body.append(Object.assign(document.createElement('script'),"
                  "{textContent: 'document.title = 1'})), 0")
    assert browser.value("document.title") == "uepoll report", "the policy lets a foreign script run"


def fits(browser, path):
    for width in [320, 375, 768, 1920]:
        browser.open(path, width=width)
        wide = browser.value("document.documentElement.scrollWidth")
        assert wide <= width, f"{path} is {wide} wide on a screen of {width}"


def main(folder):
    page, hostile = (os.path.join(folder, name) for name in ["page.html", "hostile.html"])
    with Browser() as browser:
        works(browser, page)
        is_inert(browser, hostile)
        fits(browser, page)
        fits(browser, hostile)
        examples = {name: os.path.join(folder, f"{name}.html") for name in ["healthy", "bursty-offload", "stuck"]}
        for example in examples.values():
            fits(browser, example)
            browser.open(example)
            for chart in ["ring-0-times", "ring-0-time"]:
                reads_values(browser, chart)
            quiet(browser, example)
        real = examples["bursty-offload"]
        # Those that docs keep, of a recording; then those to look at.
        for name, path, width, dark, first, last in [
            ("light", real, 900, False, "h1", ".times"),
            ("dark", real, 900, True, "#ring-0-time", "#ring-0-time .legend"),
            ("whole-light", page, 1100, False, None, None),
            ("whole-dark", page, 1100, True, None, None),
            ("whole-narrow", page, 375, False, None, None),
        ]:
            browser.open(path, width=width, dark=dark)
            browser.picture(os.path.join(folder, f"page-{name}.png"), first, last)
        browser.open(page)
        browser.pdf(os.path.join(folder, "page.pdf"))
    print("page: renders, reads out, chooses, prints; asks for nothing; foreign names stay text")


main(sys.argv[1])
