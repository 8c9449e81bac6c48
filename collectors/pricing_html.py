"""A page as elements within elements, however carelessly it was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

from collectors.base import Malformed

VOID_TAGS = frozenset(
    {
        "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param",
        "source", "track", "wbr",
    }
)  # fmt: skip
DEEPEST = 400
"""Elements within elements; a page has some dozens."""


@dataclass
class Element:
    """One element of a page."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    parent: Element | None = None
    children: list[Element | str] = field(default_factory=list)

    def within(self) -> Iterator[Element]:
        """Every element in it, in the page's order."""
        for child in self.children:
            if isinstance(child, Element):
                yield child
                yield from child.within()

    def texts(self) -> list[str]:
        """Every text in it, in the page's order; scripts and styles have none."""
        if self.tag in ("script", "style", "template"):
            return []
        found: list[str] = []
        for child in self.children:
            if isinstance(child, Element):
                found += child.texts()
            elif words := " ".join(child.split()):
                found.append(words)
        return found

    def text(self) -> str:
        """All of them together."""
        return " ".join(self.texts())


class _Builder(HTMLParser):
    """Elements within elements; what isn't closed is closed by whatever closes around it."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.root = self.at = Element("")
        self.depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, self.at)
        self.at.children.append(element)
        if tag not in VOID_TAGS:
            self.at, self.depth = element, self.depth + 1
        if self.depth > DEEPEST:
            raise Malformed(f"{self.source}'s pricing page", "the page", "is nested without end")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID_TAGS:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        closed, levels = self.at, 1
        while closed.tag != tag and closed.parent is not None:
            closed, levels = closed.parent, levels + 1
        if closed.parent is not None:
            self.at, self.depth = closed.parent, self.depth - levels

    def handle_data(self, data: str) -> None:
        self.at.children.append(data)


def page_of(html: str, source: str) -> Element:
    """A page as a tree; `source` is whose, for the error.

    Raises:
        Malformed: it is nested without end.
    """
    builder = _Builder(source)
    builder.feed(html)
    builder.close()
    return builder.root
