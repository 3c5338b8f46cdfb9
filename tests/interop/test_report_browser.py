# SPDX-License-Identifier: Apache-2.0
"""The HTML report in a browser: it filters, opens by keyboard, prints, and wants nothing else."""

import base64
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.audit_samples import HEAD, MODE, TOOL, clean, everything, flood, named
from tests.browser import Browser, Page, opened
from tests.goldens import report
from verity.formats.escaped import one_line
from verity.values.audit import Audit
from verity.values.findings import Link

VISIBLE = "document.querySelectorAll('details.finding:not([hidden])').length"
HOSTILE = (
    "</script><script>window.hacked = 1; alert(1)</script>",
    '"><img src="https://example.org/x.png" onerror="window.hacked = 1">',
    "</style><style>@import url(https://example.org/x.css);</style>",
    "<svg onload='window.hacked = 1'><title>",
    "\u202egnp.exe\u2066\u200f",
    "\x1b[2J\x00\n\r\u2028",
    "javascript:window.hacked=1",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    one = Browser(tmp_path_factory.mktemp("browser"))
    yield one
    one.close()


def written(audit: Audit, folder: Path) -> Path:
    path = folder / "report.html"
    path.write_bytes(report(audit, "html"))
    return path


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """The report of an audit with every state; at the end, it has asked and said nothing."""
    with opened(browser, written(everything(), tmp_path)) as one:
        yield one
        assert one.requests() == [one.url]
        assert one.complaints() == []


def printed(page: Page, folder: Path) -> str:
    """The page on paper, as text without blanks: a long line may be broken anywhere."""
    pdf = folder / "report.pdf"
    pdf.write_bytes(base64.b64decode(page.ask("Page.printToPDF", paperWidth=8.27)["data"]))
    done = subprocess.run(["pdftotext", "-layout", pdf, "-"], capture_output=True, check=True)
    return "".join(done.stdout.decode().split())


def focus(page: Page, wanted: str) -> None:
    """Go with the tabulator to what fits a selector."""
    for _ in range(60):
        if page.value(f"document.activeElement.matches({wanted!r})"):
            return
        page.press("Tab")
    raise AssertionError(f"no tabulator comes to {wanted}")


def test_the_filter(page: Page) -> None:
    assert page.value(VISIBLE) == 3
    assert page.value("document.getElementById('shown').textContent") == "3 of 3 shown"
    focus(page, "#severity")
    page.press("ArrowDown")
    assert page.value("document.getElementById('severity').value") == "critical"
    assert page.value(VISIBLE) == 1
    assert page.value("document.querySelectorAll('section.check:not([hidden])').length") == 1
    page.press("ArrowDown")
    assert page.value("document.getElementById('severity').value") == "medium"
    assert page.value(VISIBLE) == 2
    focus(page, "#words")
    page.type("CAF 0600")
    assert page.value(VISIBLE) == 1
    assert "caf\\xe9" in page.value(
        "document.querySelector('details.finding:not([hidden])').textContent"
    )
    page.type(" nowhere")
    assert page.value(VISIBLE) == 0
    assert page.value("document.getElementById('shown').textContent") == "0 of 3 shown"
    focus(page, "#clear")
    page.press("Enter")
    assert page.value(VISIBLE) == 3
    assert page.value("document.activeElement.id") == "words"


def test_the_filter_by_area(browser: Browser, tmp_path: Path) -> None:
    audit = named("x", b"/x")  # findings of one area only: the list offers no other
    with opened(browser, written(audit, tmp_path)) as page:
        options = "Array.from(document.querySelectorAll('#area option')).map((o) => o.value)"
        assert page.value(options) == ["", "files"]
        focus(page, "#area")
        page.press("ArrowDown")
        assert page.value(VISIBLE) == 1


def test_a_finding_opens_by_keyboard_and_shows_its_chain(page: Page) -> None:
    shown = "document.querySelector('details.finding .chain').checkVisibility()"
    page.press("Tab")
    assert page.value("document.activeElement.className") == "skip"
    page.press("Enter")
    focus(page, "details.finding > summary")
    assert page.value("document.activeElement.textContent").split() == [
        *("critical", f"{TOOL.object}:"),
        *TOOL.problem.split(),
    ]
    assert page.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    first = "document.querySelector('details.finding')"
    assert page.value(f"{first}.open") is False
    page.press("Enter")
    assert page.value(f"{first}.open") is True
    assert page.value(shown)
    links = f"Array.from({first}.querySelectorAll('.chain li')).map((li) => li.textContent)"
    assert page.value(links) == [
        f"{link}: broken here" if link is TOOL.link else link.value for link in Link
    ]
    for told in (TOOL.expected, TOOL.found, TOOL.remedy):
        assert told in page.value(f"{first}.innerText")
    page.press(" ")
    assert page.value(f"{first}.open") is False


def test_all_open_and_close_at_once(page: Page) -> None:
    opened_ones = "document.querySelectorAll('details.finding[open]').length"
    focus(page, "#open-all")
    page.press("Enter")
    assert page.value(opened_ones) == 3
    page.press(" ")
    assert page.value(opened_ones) == 0


@pytest.mark.parametrize("script", [True, False])
def test_on_paper_is_what_is_closed_on_the_screen(
    script: bool, browser: Browser, tmp_path: Path
) -> None:
    with opened(browser, written(everything(), tmp_path), script=script) as page:
        text = printed(page, tmp_path)
    for told in (
        "What is signed, and by whom",
        "stream debian-13",
        "signed by ann, bob",
        TOOL.object,
        TOOL.expected,
        TOOL.remedy,
        MODE.object,
        "file: broken here",
        "run the audit as root",
        "until the new agent",
        "this host has no UEFI",
        *HEAD.roots,
    ):
        assert "".join(told.split()) in text, told
    assert "Openorcloseall" not in text


def test_the_script_opens_for_paper_and_closes_again(page: Page) -> None:
    # For browsers without ::details-content; the style does the same in this one.
    focus(page, "details.finding > summary")
    page.press("Enter")
    for event, count in (("beforeprint", 5), ("afterprint", 1)):
        page.value(f"dispatchEvent(new Event('{event}'))")
        assert page.value("document.querySelectorAll('details[open]').length") == count


def test_it_is_all_there_without_script(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, written(everything(), tmp_path), script=False) as page:
        focus_on = "details.finding > summary"
        focus(page, focus_on)
        page.press("Enter")
        assert page.value("document.querySelector('details.finding').open") is True
        assert page.value("document.getElementById('filter').checkVisibility()") is False


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_stays_a_name(name: str, browser: Browser, tmp_path: Path) -> None:
    raw = b"/" + name.encode()
    with opened(browser, written(named(name, raw), tmp_path)) as page:
        assert page.value("window.hacked") is None
        assert page.value("document.querySelectorAll('script').length") == 1
        assert page.value("document.querySelectorAll('style').length") == 1
        assert page.value("document.querySelectorAll('img').length") == 0
        object_ = "document.querySelector('details.finding summary code').textContent"
        assert page.value(object_) == one_line(name)
        assert page.value("document.title").startswith("verity audit of ")
        assert page.requests() == [page.url]
        assert page.complaints() == []


def test_what_is_pasted_into_it_does_not_run_and_is_complained_of(
    browser: Browser, tmp_path: Path
) -> None:
    # The control of the tests above: the policy holds, and these tests would see a complaint.
    path = written(everything(), tmp_path)
    pasted = (
        b"<script>window.hacked = 1</script><img src='https://example.org/x.png'>"
        b"<p style='color: red'>"
    )
    path.write_bytes(path.read_bytes().replace(b"<main>", b"<main>" + pasted))
    with opened(browser, path) as page:
        assert page.value("window.hacked") is None
        assert page.value("document.querySelectorAll('script').length") == 2
        said = " ".join(page.complaints())
        for directive in ("script-src", "img-src", "style-src"):
            assert directive in said
        assert page.value(VISIBLE) == 3  # our own script still runs


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_in_light_and_dark(scheme: str, page: Page) -> None:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    page.ask("Emulation.setEmulatedMedia", features=[feature])
    poor = page.value(CONTRAST)
    assert poor == []
    lightness = page.value("getComputedStyle(document.body).backgroundColor")
    assert lightness == {"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"}[scheme]


# Elements whose text has less contrast to what is behind it than WCAG AA asks for.
CONTRAST = """
(() => {
  document.querySelectorAll("details").forEach((one) => { one.open = true; });
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const part = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = (c) => 0.2126 * part(c[0]) + 0.7152 * part(c[1]) + 0.0722 * part(c[2]);
  const behind = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const color = rgb(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] > 0) { return color; }
    }
    throw new Error("nothing is behind it");
  };
  const poor = [];
  for (const one of document.querySelectorAll("body *:not(script):not(svg *)")) {
    const own = Array.from(one.childNodes).some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !one.checkVisibility()) { continue; }
    const a = light(rgb(getComputedStyle(one).color)), b = light(behind(one));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) { poor.push(`${one.tagName}.${one.className}: ${ratio}`); }
  }
  return poor;
})()
"""


@pytest.mark.parametrize("width", [320, 1280])
def test_nothing_sticks_out_sideways(width: int, page: Page) -> None:
    page.ask(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=800,
        deviceScaleFactor=1,
        mobile=False,
    )
    page.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.value("document.documentElement.scrollWidth") <= width


def test_whoever_hears_the_page_hears_what_things_are(page: Page) -> None:
    page.ask("Accessibility.enable")
    nodes = page.ask("Accessibility.getFullAXTree")["nodes"]
    names: dict[str, list[str]] = {}
    for node in nodes:
        if not node["ignored"]:
            role = node["role"]["value"]
            names.setdefault(role, []).append(node.get("name", {}).get("value", ""))
    for role in ("button", "combobox", "searchbox", "heading", "link"):
        assert names[role], role
        assert all(names[role]), role
    assert names["search"] == ["Filter the findings"]
    pictures = [name for role in ("image", "img") for name in names.get(role, [])]
    assert any(
        name.startswith("What is signed, and by whom") and "stream debian-13" in name
        for name in pictures
    )
    assert any("94,000 measured by the kernel" in name for name in pictures)
    assert page.value("document.documentElement.lang") == "en"


def test_a_clean_host_has_no_filter(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, written(clean(), tmp_path)) as page:
        assert page.value("document.getElementById('filter')") is None
        assert page.complaints() == []
        assert "No finding." in page.value("document.body.innerText")


def test_a_flood_is_filtered_and_says_what_is_left_out(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, written(flood(100_000), tmp_path)) as page:
        assert page.value(VISIBLE) == 202
        focus(page, "#words")
        page.type("caf")
        assert page.value(VISIBLE) == 1
        assert page.complaints() == []
        assert "99,801 more left out here" in page.value("document.body.textContent")
