"""`docs/actions.md` names every step, every named end and every role that there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.kubernetes import rights
from engine.kubernetes.hands import KubernetesHands
from engine.kubernetes.steps import Step
from warehouse.actions import ACTION_SPECS

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "actions.md").read_text()


def steps(kind: type[Step] = Step) -> Iterator[type[Step]]:
    for each in kind.__subclasses__():
        yield each
        yield from steps(each)


def test_every_step_is_in_the_table() -> None:
    assert KubernetesHands  # whose import brings every step
    named = {each.name for each in steps() if "name" in vars(each)}
    assert len(named) > 20
    assert not [name for name in sorted(named) if f"`{name}`" not in PAGE]


def test_every_named_end_is_in_the_table() -> None:
    code = "\n".join(p.read_text() for p in (ROOT / "engine" / "kubernetes").glob("*.py"))
    ends = set(re.findall(r'(?:Refused|StepOver)\(\s*"([a-z_]+)"', code))
    assert {"stale", "target_gone", "deadline_passed", "right_missing"} <= ends
    assert not [end for end in sorted(ends) if f"`{end}`" not in PAGE]


@pytest.mark.parametrize("action", [n for n in ACTION_SPECS if n in rights.ACT])
def test_every_action_has_its_row_and_its_role(action: str) -> None:
    assert f"| **{ACTION_SPECS[action].label.lower()}** |" in PAGE
    assert f"-{action.replace('_', '-')}`" in PAGE
