"""Prometheus' text exposition (0.0.4) and OpenMetrics, read line by line and strictly.

What is no exposition is refused as a whole, with the line that is wrong: half a text would look
like a host that lost half its GPUs. Names quoted in braces (UTF-8 names) are not understood.
Source: prometheus.io/docs/instrumenting/exposition_formats, and the OpenMetrics specification.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

LONGEST_LINE = 2**16
"""Characters; a longer line is no metric."""
SHOWN_LENGTH = 60
OPEN_METRICS = "application/openmetrics-text"
NO_METRICS = ("text/html", "application/json", "application/vnd.google.protobuf")
"""Kinds of content that are certainly no text exposition."""

_WORDS = r"[iI][nN][fF](?:[iI][nN][iI][tT][yY])?|[nN][aA][nN]"
_NUMBER = rf"[+-]?(?:(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?|{_WORDS})"
_INSTANT = r"[+-]?\d++(?:\.\d++)?"
_QUOTED = r"\"(?:[^\"\\]++|\\.)*+\""
_LABELS = rf"\{{((?:[^\"{{}}]++|{_QUOTED})*+)\}}"
_EXEMPLAR = rf"[ \t]++#[ \t]*+{_LABELS}[ \t]++{_NUMBER}(?:[ \t]++{_INSTANT})?"
_BARE_NUMBER = re.compile(_NUMBER, re.ASCII)
_SERIES = re.compile(
    rf"([a-zA-Z_:][a-zA-Z0-9_:]*+)[ \t]*+(?:{_LABELS})?[ \t]*+(?<![a-zA-Z0-9_:])({_NUMBER})"
    rf"(?:[ \t]++({_INSTANT}))?({_EXEMPLAR})?",
    re.ASCII,
)
_LABEL = re.compile(rf"[ \t]*+([a-zA-Z_][a-zA-Z0-9_]*+)[ \t]*+=[ \t]*+({_QUOTED})[ \t]*+", re.ASCII)
# Every repetition is possessive: a line that is none is refused at once, however long it is.
_ESCAPE = re.compile(r"\\([\\n\"])")
_PLAIN = {"\\": "\\", "n": "\n", '"': '"'}


class NotExposition(ValueError):
    """The text is no exposition; the sentence says what is wrong in it."""


class Series(NamedTuple):
    """One sample as its line says it."""

    name: str
    labels_text: str
    """What stands between the braces, empty without them."""
    value: float
    at_seconds: float | None
    """Its own instant in Unix seconds, where it has one."""
    is_simple: bool
    """Whether the line is its name and labels, one blank, and the number: nothing else."""


def text_of(body: bytes, content_type: str) -> tuple[str, bool]:
    """The text of an answer, and whether it is OpenMetrics.

    Raises:
        NotExposition: it is cut off, or something else.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind in NO_METRICS:
        raise NotExposition(f"answers {kind}, no metrics")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise NotExposition(f"byte {error.start} is no UTF-8") from None
    if not text.strip():
        raise NotExposition("answers with an empty text")
    if text.lstrip()[:1] == "<":
        raise NotExposition("answers a web page, no metrics")
    is_open = kind == OPEN_METRICS
    if not text.endswith("# EOF\n" if is_open else "\n"):
        raise NotExposition("the text is cut off before its end")
    return text, is_open


def series_of(line: str, is_open: bool) -> Series | None:
    """The sample on a line; None where it is blank or a comment.

    Raises:
        NotExposition: it is none of these.
    """
    bare = line.strip(" \t\r")
    if not bare or bare[0] == "#":
        return None
    if len(line) > LONGEST_LINE:
        raise NotExposition(f"{line[:SHOWN_LENGTH]!r}… is {len(line)} characters long")
    found = _SERIES.fullmatch(bare)
    if found is None or (found[5] and not is_open):
        raise NotExposition(f"{line[:SHOWN_LENGTH]!r} is no sample")
    name, labels, number, instant, exemplar = found[1], found[2] or "", found[3], found[4], found[5]
    at_seconds = None if instant is None else float(instant) / (1.0 if is_open else 1000.0)
    is_simple = not instant and not exemplar and line.endswith(f" {number}")
    return Series(name, labels, float(number), at_seconds, is_simple)


def labels_of(text: str) -> dict[str, str]:
    """The labels between the braces, unescaped.

    Raises:
        NotExposition: they can't be read, or one is there twice.
    """
    labels: dict[str, str] = {}
    at, end = 0, len(text)
    while at < end:
        found = _LABEL.match(text, at)
        if found is None and not text[at:].strip(" \t"):
            break
        if (
            found is None
            or found[1] in labels
            or text[found.end() : found.end() + 1] not in ("", ",")
        ):
            raise NotExposition(f"the labels {text[:SHOWN_LENGTH]!r} can't be read")
        value = found[2][1:-1]
        labels[found[1]] = _ESCAPE.sub(_unescaped, value) if "\\" in value else value
        at = found.end() + 1
    return labels


def samples(text: str, is_open: bool) -> Iterator[tuple[int, Series]]:
    """Every sample with the number of its line, from 0.

    Raises:
        NotExposition: a line is none; the sentence names it.
    """
    names: set[str] = set()
    blocks: set[str] = set()
    for at, line in enumerate(text.split("\n")):
        if line[:1] == "#":
            continue
        # A GPU's labels stand on twenty lines; what was found good once need not be again.
        head, _, number = line.rpartition("} ")
        name, _, block = head.partition("{")
        if block in blocks and name in names and _BARE_NUMBER.fullmatch(number):
            yield at, Series(name, block, float(number), None, True)
            continue
        try:
            series = series_of(line, is_open)
        except NotExposition as error:
            raise NotExposition(f"line {at + 1}: {error}") from None
        if series is not None:
            names.add(series.name)
            blocks.add(series.labels_text)
            yield at, series


def _unescaped(found: re.Match[str]) -> str:
    return _PLAIN[found[1]]
