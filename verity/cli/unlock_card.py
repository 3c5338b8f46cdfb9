# SPDX-License-Identifier: Apache-2.0
"""verity unlock card: the page for the drawer, as text or HTML."""

import time
from pathlib import Path

import click

from verity.cli import output, unlock_options
from verity.formats import markup
from verity.formats.statement import format_time
from verity.ports.osfile import write_new_file
from verity.verbs import lockdown, unlock_card
from verity.verbs.unlock_card import Card

_STYLE = (
    "body{font:12pt/1.35 'Liberation Sans',sans-serif;margin:1.5cm;max-width:18cm}"
    "h1{font-size:17pt;margin:0 0 .4cm}h2{font-size:12.5pt;margin:.45cm 0 .1cm}"
    "p{margin:.05cm 0;overflow-wrap:anywhere}"
    "code{font:10.5pt 'Liberation Mono',monospace;background:#eee;padding:0 .1cm}"
    "@page{size:A4;margin:0}@media print{code{background:none;font-weight:bold}}"
)


@click.command(epilog="Example: verity unlock card --format html --output card.html")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "html"]),
    default="text",
    show_default=True,
    help="What to write; both fit on one page.",
)
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="Write it to a new file.",
)
@unlock_options.root_option
@output.json_option
def card(form: str, target: Path | None, root: Path, as_json: bool) -> int:
    """Print what to do at 3 a.m., for this host: the page for the drawer.

    With its name and id, who may unlock it and for how long, and each command. It holds no secret.
    Print it while the host is well, and again when its keys or its policy change.
    """
    found = lockdown.status(root)
    made = unlock_card.make(root, level=found.level, date=format_time(int(time.time()))[:10])
    if as_json:
        fields = {one.title: list(one.lines) for one in made.sections}
        output.record("card", {"title": made.title, "sections": fields})
        return 0
    text = _text(made) if form == "text" else _html(made)
    if target is not None:
        write_new_file(target, text.encode(), mode=0o644)
        output.message(f"{target}: print it, and put it into the drawer")
    else:
        output.line(text.rstrip("\n"))
    return 0


def _text(made: Card) -> str:
    lines = [made.title.upper(), ""]
    for section in made.sections:
        lines += [section.title, *(f"    {one}" for one in section.lines), ""]
    return "".join(f"{output.one_line(one)}\n" for one in lines)


def _html(made: Card) -> str:
    body = markup.element("body", markup.element("h1", made.title))
    for section in made.sections:
        markup.add(body, markup.element("h2", section.title))
        for one in section.lines:
            is_typed = one.startswith(" ") and not one.startswith("   ")
            inner = markup.element("code", one.strip()) if is_typed else one
            markup.add(body, markup.element("p", inner))
    head = markup.element(
        "head",
        markup.element("meta", charset="utf-8"),
        markup.element("title", made.title),
        markup.raw("style", _STYLE),
    )
    return "<!doctype html>\n" + markup.html(markup.element("html", head, body, lang="en")) + "\n"
