# SPDX-License-Identifier: Apache-2.0
"""HTML as a tree: what is put into it comes out as text, wherever it is put."""

import pytest

from verity.formats.markup import add, element, html, opening, raw, source_hash


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("<b>", "&lt;b&gt;"),
        ("a & b", "a &amp; b"),
        ("&lt;", "&amp;lt;"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb", "a\\x0ab"),
        ("\u202ex", "\\xe2\\x80\\xaex"),
        ("\udcff", "\\xff"),
        ("漢", "漢"),
    ],
)
def test_text_and_attributes_are_escaped(text: str, written: str) -> None:
    assert html(element("p", text)) == f"<p>{written}</p>"
    assert html(element("p", element("br"), text)) == f"<p><br>{written}</p>"
    in_attribute = written.replace("&lt;", "<") if text.startswith("<") else written
    assert html(element("p", title=text)) in {
        f'<p title="{written}"></p>',
        f'<p title="{in_attribute}"></p>',  # < needs no escape between quotes
    }


def test_no_attribute_ends_at_a_quote() -> None:
    made = html(element("p", title='" onclick="alert(1)'))
    assert made == '<p title="&quot; onclick=&quot;alert(1)"></p>'


def test_names_of_attributes() -> None:
    made = element("td", class_="number", data_area="files", aria_label="x", colspan=2)
    assert html(made) == '<td class="number" data-area="files" aria-label="x" colspan="2"></td>'


def test_children_stay_in_their_order_and_none_is_nothing() -> None:
    made = add(element("p", "a", element("b", "c"), "d", None, "e"), element("i"), "f")
    assert html(made) == "<p>a<b>c</b>de<i></i>f</p>"


def test_only_a_constant_is_raw() -> None:
    assert html(raw("script", "a < b && c")) == "<script>a < b && c</script>"
    assert html(raw("style", "a > b")) == "<style>a > b</style>"


def test_an_opening_is_closed_by_its_writer() -> None:
    assert opening(element("main", "x")) == "<main>x"


def test_the_hash_is_the_one_of_a_content_security_policy() -> None:
    # `printf %s "alert('Hello, world.');" | openssl dgst -sha256 -binary | base64`
    wanted = "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"
    assert source_hash("alert('Hello, world.');") == wanted
