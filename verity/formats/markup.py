# SPDX-License-Identifier: Apache-2.0
"""HTML as a tree: every text and every attribute is escaped by being put into it.

There is no template into which a name could be pasted raw, and characters that aren't shown, turn
the reading direction or end a line are written as in all our messages (``\\xHH``). Only ``raw``
takes text as it is: the constants that are a page's style and script.
"""

import base64
import hashlib
import xml.etree.ElementTree as ET

from verity.formats.escaped import one_line

Child = ET.Element | str | None


def element(tag: str, *children: Child, **attributes: str | int) -> ET.Element:
    """An element; ``class_`` is the attribute class, ``data_x`` is data-x."""
    made = ET.Element(tag)
    for name, value in attributes.items():
        made.set(name.rstrip("_").replace("_", "-"), one_line(str(value)))
    return add(made, *children)


def add(parent: ET.Element, *children: Child) -> ET.Element:
    """Put children behind those that are there; text is escaped, None is nothing."""
    for child in children:
        if isinstance(child, ET.Element):
            parent.append(child)
        elif child is not None:
            text = one_line(child)
            if len(parent):
                parent[-1].tail = (parent[-1].tail or "") + text
            else:
                parent.text = (parent.text or "") + text
    return parent


def raw(tag: str, constant: str) -> ET.Element:
    """A ``style`` or ``script`` with a constant of ours."""
    made = ET.Element(tag)
    made.text = constant
    return made


def source_hash(constant: str) -> str:
    """How a content security policy names such a constant."""
    digest = hashlib.sha256(constant.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def html(tree: ET.Element) -> str:
    """The tree as HTML."""
    return ET.tostring(tree, encoding="unicode", method="html")


def opening(tree: ET.Element) -> str:
    """The tree as HTML without its last end tag: what follows is written piece by piece."""
    return html(tree).removesuffix(f"</{tree.tag}>")
