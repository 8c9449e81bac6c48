"""The exposition's parser against Prometheus' own in Python, on made-up and on nasty texts."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as plain_families

from collectors.prometheus_layout import reading_of
from collectors.prometheus_text import (
    LONGEST_LINE,
    OPEN_METRICS,
    NotExposition,
    labels_of,
    samples,
    text_of,
)

NAMES = st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,12}", fullmatch=True)
LABEL_NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: name not in ("le", "quantile") and not name.startswith("__")
)
TEXTS = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\r"), max_size=12
) | st.sampled_from(['a"b', "back\\slash", "new\nline", "}", "{x=", ",", " # ", "\\n", "1 2"])
NUMBERS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(-(10**20), 10**20),
    st.sampled_from(["1e3", "1E-3", "+Inf", "-Inf", "NaN", "+5", ".5", "5.", "0x", "00.10"]),
).map(lambda number: str(number) if isinstance(number, str) else repr(number))
INSTANTS = st.none() | st.integers(-(10**12), 10**13)


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


@st.composite
def lines(draw: st.DrawFn) -> str:
    labels = draw(st.dictionaries(LABEL_NAMES, TEXTS, max_size=4))
    comma = draw(st.sampled_from([",", " , ", ", "]))
    inside = comma.join(f'{name}="{escaped(text)}"' for name, text in labels.items())
    inside += draw(st.sampled_from(["", ","])) if labels else ""
    block = f"{{{inside}}}" if labels or draw(st.booleans()) else ""
    instant = draw(INSTANTS)
    after = "" if instant is None else f" {instant}"
    return f"{draw(NAMES)}{block} {draw(NUMBERS)}{after}"


COMMENTS = st.sampled_from(["# just words", "#", "", "# HELP x A word.", "  ", "# TYPE x gauge"])
BODIES = st.lists(lines() | COMMENTS, max_size=8).map(lambda told: "\n".join(told) + "\n")


def ours(text: str, is_open: bool) -> list[tuple]:
    return [
        (each.name, labels_of(each.labels_text), number_of(each.value), each.at_seconds)
        for _, each in samples(text, is_open)
    ]


def theirs(text: str, is_open: bool) -> list[tuple]:
    families = (open_families if is_open else plain_families)(text)
    return [
        (each.name, each.labels, number_of(each.value), each.timestamp and float(each.timestamp))
        for family in families
        for each in family.samples
    ]


def number_of(value: float) -> float | str:
    return "NaN" if math.isnan(value) else float(value)


@settings(max_examples=80, deadline=None)
@given(BODIES)
@example('a{b="\\\\n\\"c}"} 1\n')
@example("a{} 1 0\n")
@example('a{b="c"} 1\nd{b="c"} 2\nd{b="c"} 3 4\na{b="c"} +Inf\n')
@example('a{b="} "} 1\na{b="} "} 2\n')
def test_what_is_read_is_what_prometheus_reads_or_it_is_refused(text):
    try:
        read = ours(text, is_open=False)
    except NotExposition:
        return
    by_name = sorted(read, key=lambda each: each[0])
    assert sorted(theirs(text, is_open=False), key=lambda each: each[0]) == [
        (name, labels, value, at or None) if at != 0 else (name, labels, value, at)
        for name, labels, value, at in by_name
    ]


@settings(max_examples=50, deadline=None)
@given(BODIES)
def test_a_good_text_is_never_refused(text):
    if "0x" not in text:
        ours(text, is_open=False)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=60) | st.binary(max_size=60))
def test_any_other_text_is_read_or_refused_and_nothing_else(anything):
    body = anything if isinstance(anything, bytes) else anything.encode(errors="replace")
    try:
        text, is_open = text_of(body, "text/plain")
        for _, series in samples(text, is_open):
            labels_of(series.labels_text)
    except NotExposition:
        return
    assert text.endswith("\n")


def test_open_metrics_is_read_as_its_own_parser_reads_it():
    text = (
        "# TYPE DCGM_FI_DEV_GPU_UTIL gauge\n"
        '# HELP DCGM_FI_DEV_GPU_UTIL with "quotes" and \\\\ more\n'
        'DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="a\\"b\\\\c\\nd"} 5.5e1 1520879607.789\n'
        "# TYPE xids counter\n"
        'xids_total{xid="31"} 3.0 # {trace="a b"} 0.5 1520879607.789\n'
        "# EOF\n"
    )
    body, is_open = text_of(text.encode(), f"{OPEN_METRICS}; version=1.0.0; charset=utf-8")
    assert is_open
    assert ours(body, is_open) == theirs(body, is_open)


REFUSED = {
    "one number too many": "a 1 2 3\n",
    "no number": 'a{b="c"}\n',
    "a word": "a one\n",
    "an underscore in a number": "a 1_000\n",
    "a label without quotes": "a{b=c} 1\n",
    "a label twice": 'a{b="c",b="d"} 1\n',
    "labels that don't end": 'a{b="c" 1\n',
    "two commas": 'a{b="c",,d="e"} 1\n',
    "a name that begins with a digit": "1a 1\n",
    "a name quoted": '{"a.b"} 1\n',
    "an exemplar where there are none": 'a 1 # {b="c"} 1\n',
    "no blank before the number": "a+5\n",
    "a line without end": "a" * (LONGEST_LINE + 1) + " 1\n",
    "a page": "\n  <html>\n",
    "a text cut off": "a 1\nb 2",
    "nothing": "\n \n",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_is_no_exposition_is_refused_as_a_whole(text):
    with pytest.raises(NotExposition):
        ours(text_of(f"up 1\n{text}".encode() if text[0] == "a" else text.encode(), "")[0], False)


@pytest.mark.parametrize("body", [b"a 1\n\xff\n", b"a 1\n"])
def test_an_open_metrics_text_must_end_and_be_text(body):
    with pytest.raises(NotExposition):
        text_of(body, OPEN_METRICS)


def test_the_refusal_names_the_line():
    with pytest.raises(NotExposition, match="line 3: 'b one' is no sample"):
        ours("# a\na 1\nb one\n", False)


def test_nasty_lines_are_refused_before_they_cost_anything():
    """A pattern that backtracks would try these for minutes, beyond the suite's time limit."""
    for line in (
        "a{" + 'b="c",' * 5000,
        'a{b="' + "\\" * 60_000,
        "a{" + '"' * 60_000,
        "a " + "1" * 60_000,
    ):
        with pytest.raises(NotExposition):
            ours(line + "x\n", False)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["1", "2.5", "NaN", "1e3", "+Inf", "7"]), min_size=2, max_size=2))
def test_the_short_way_reads_what_the_careful_way_reads(numbers):
    line = 'DCGM_FI_DEV_GPU_TEMP{gpu="0",UUID="GPU-0",pod="a b"} %s\n'
    first = reading_of(line % numbers[0], False, None, 0.0)
    short = reading_of(line % numbers[1], False, first.layout, 0.0)
    careful = reading_of(line % numbers[1], False, None, 0.0)
    assert short.layout is first.layout
    assert [number_of(each) for each in short.values] == [
        number_of(each) for each in careful.values
    ]


@pytest.mark.parametrize("number", ["1_0", "x", "", "1 2 3"])
def test_the_short_way_refuses_what_the_careful_way_refuses(number):
    line = 'DCGM_FI_DEV_GPU_TEMP{gpu="0",UUID="GPU-0"} %s\n'
    first = reading_of(line % "5", False, None, 0.0)
    with pytest.raises(NotExposition):
        reading_of(line % number, False, first.layout, 0.0)
