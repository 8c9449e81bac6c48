from __future__ import annotations

import pytest

from warehouse.actions import ACTION_SPECS, ACTION_TYPES, InvalidParameters, action_hash, sentence
from warehouse.actions import checked_parameters as checked


def test_every_spec_is_an_action_type_of_the_records() -> None:
    assert set(ACTION_SPECS) <= set(ACTION_TYPES)
    assert all(name == spec.action for name, spec in ACTION_SPECS.items())


def test_numbers_come_out_of_the_right_kind() -> None:
    assert checked("scale_up", {"nodes": 2.0}) == {"nodes": 2}
    assert checked("adjust_price", {"price_usd_per_gpu_hour": 2}) == {"price_usd_per_gpu_hour": 2.0}
    assert checked("do_nothing", {}) == {}


@pytest.mark.parametrize(
    ("action", "parameters", "words"),
    [
        ("dance", {}, "dance is not an action: use scale_up"),
        ("scale_up", {}, "scale_up needs nodes: a number, 1 to 64 nodes"),
        ("scale_up", {"nodes": "2"}, "needs nodes: a number"),
        ("scale_up", {"nodes": True}, "needs nodes: a number"),
        ("scale_up", {"nodes": 1.5}, "nodes is a whole number, not 1.5"),
        ("scale_up", {"nodes": 65}, "nodes is 65; it may be 1 to 64 nodes"),
        ("scale_up", {"nodes": float("inf")}, "nodes"),
        ("scale_up", {"nodes": float("nan")}, "nodes"),
        ("scale_up", {"nodes": 1, "colour": 2}, "scale_up takes no colour"),
        ("adjust_price", {"price_usd_per_gpu_hour": 0}, "may be 0.01 to 100 USD per GPU-hour"),
    ],
)
def test_what_an_action_does_not_take_is_refused(action: str, parameters: dict, words: str) -> None:
    with pytest.raises(InvalidParameters, match=words):
        checked(action, parameters)


def test_the_hash_stands_for_exactly_one_action() -> None:
    one = action_hash("scale_up", "pool/a", {"nodes": 2})
    assert one == action_hash("scale_up", "pool/a", {"nodes": 2})
    others = [("scale_down", "pool/a", 2), ("scale_up", "pool/b", 2), ("scale_up", "pool/a", 3)]
    assert one not in {action_hash(a, t, {"nodes": n}) for a, t, n in others}


@pytest.mark.parametrize(
    ("action", "nodes", "words"),
    [
        ("scale_up", 1, "Switch on 1 node in a100, our own first, then leased"),
        ("scale_up", 2, "Switch on 2 nodes in a100, our own first, then leased"),
        ("scale_down", 1, "Release 1 empty node in a100, leased first"),
        ("scale_down", 3, "Release 3 empty nodes in a100, leased first"),
    ],
)
def test_one_node_is_a_node_and_two_are_nodes(action: str, nodes: int, words: str) -> None:
    assert sentence(action, "a100", {"nodes": nodes}) == words


def test_no_sentence_leaves_the_plural_to_the_reader() -> None:
    assert not [spec.action for spec in ACTION_SPECS.values() if "(s)" in spec.sentence]


def test_an_action_reads_as_a_sentence() -> None:
    words = sentence("adjust_price", "a100", {"price_usd_per_gpu_hour": 1.25})
    assert words == "Set the price of a100 to $1.25 per GPU-hour for new jobs"
