"""Answers that are asked for many times within a moment: had once, seconds old at most."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pages._context import Context, kept, set_context
from pages._kept import Kept
from tests.makers import NOON
from tests.pages.conftest import Console
from warehouse.clock import FleetClock


class Hands:
    """A clock that is set by hand, in seconds."""

    at = 100.0

    def __call__(self) -> float:
        return self.at


def test_an_answer_is_had_once_and_anew_when_its_time_is_over() -> None:
    hands, asked = Hands(), iter(range(10))
    answers = Kept(hands)
    ask = lambda: answers.get("figures", 5.0, lambda: next(asked))  # noqa: E731
    assert [ask(), ask()] == [0, 0]
    hands.at += 5.0
    assert [ask(), ask()] == [1, 1]
    assert answers.get("others", 5.0, lambda: next(asked)) == 2


def test_who_asks_meanwhile_waits_for_the_same_answer() -> None:
    answers, is_asked, may_end = Kept(), threading.Event(), threading.Event()
    asked: list[int] = []

    def slow() -> int:
        asked.append(1)
        is_asked.set()
        assert may_end.wait(30)
        return 7

    with ThreadPoolExecutor(4) as people:
        first = people.submit(answers.get, "figures", 60.0, slow)
        assert is_asked.wait(30)
        others = [people.submit(answers.get, "figures", 60.0, slow) for _ in range(3)]
        elsewhere = answers.get("others", 60.0, lambda: 1)  # is not held up
        may_end.set()
        assert [each.result(30) for each in (first, *others)] == [7] * 4
    assert (len(asked), elsewhere) == (1, 1)


def test_an_error_is_not_kept_and_the_next_one_asks_again() -> None:
    answers = Kept()

    def failing() -> int:
        raise OSError("the catalogue is away")

    with pytest.raises(OSError, match="away"):
        answers.get("figures", 60.0, failing)
    assert answers.get("figures", 60.0, lambda: 1) == 1


def test_what_is_too_old_is_forgotten() -> None:
    hands = Hands()
    answers = Kept(hands)
    for number in range(100):
        answers.get(number, 5.0, lambda: "a large frame")
    hands.at += 6.0
    answers.get("one more", 5.0, lambda: "another")
    assert list(answers._entries) == ["one more"]


def test_a_page_asks_once_for_what_several_of_its_parts_show(console: Console) -> None:
    clock = FleetClock(NOON, speed=0.0)
    asked: list[str] = []

    @kept(60.0)
    def figures(span: str) -> str:
        asked.append(span)
        return f"{span} of figures"

    set_context(Context(console.store, clock, lambda: console.status))
    assert [figures("a day"), figures("a day"), figures("a week")] == [
        "a day of figures",
        "a day of figures",
        "a week of figures",
    ]
    assert asked == ["a day", "a week"]
    set_context(Context(console.store, clock, lambda: console.status))
    figures("a day")
    assert asked == ["a day", "a week", "a day"], "another console's is its own"
