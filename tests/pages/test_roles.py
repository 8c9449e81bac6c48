"""What the pages' callbacks refuse to a role, asked through Dash as a browser asks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pages._context import NotAllowed
from tests.makers import NOON, make_champion, make_decision
from tests.pages.conftest import Console, ids_in, pressed, words_in
from warehouse import audit, controls, decisions
from warehouse.records import Recommendation, Role, User

SHOWN = make_decision()
ASKED = {"id": SHOWN.decision_id, "hash": SHOWN.action_hash}
RECOMMENDED = Recommendation(
    recommendation_id="rec-1", rank=1, kind="decision", title="Lower it", reason="It is dear.",
    effect_usd_per_month=1200.0, effect_low_usd_per_month=300.0, effect_high_usd_per_month=2000.0,
    assumptions=[], action="adjust_price", pool="a100",
    parameters={"price_usd_per_gpu_hour": 2.4}, made_at=NOON,
)  # fmt: skip
ROLLED_BACK = {"engine-back-of.data": "net-a", "engine-back-reason.value": "it lost"}
BLOCK = {"startRow": 0, "endRow": 50, "sortModel": []}
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")
Ask = Callable[[Console], Any]


def button(output: str, name: str, **given: Any) -> Ask:
    """Press a button that has a plain id."""
    values = {f"{name}.n_clicks": 1} | given
    return lambda console: console.call(output, values, f"{name}.n_clicks")


def patterned(output: str, kind: str, **parts: str) -> Ask:
    """Press a button that has a pattern's id."""
    return lambda console: console.call(output, *pressed(kind, **parts))


def said(choice: str) -> Ask:
    field = {"name": "nodes", "type": "decisions-parameter"}
    given = {
        "decisions-choice.value": choice,
        "decisions-reason.value": "because",
        "decisions-parameter.value": [(field, 1)],
        "decisions-parameter.id": [(field, field)],
        "decisions-shown.data": ASKED,
    }
    return button("decisions-said.data", "decisions-confirm", **given)


def killed(*, is_on: bool) -> Ask:
    given = {"admin-kill-aim.data": is_on, "admin-kill-reason.value": "drill"}
    return button("admin-kill-dialog.opened", "admin-kill-confirm", **given)


def moved_mode(console: Console) -> Any:
    ids = [{"action": action, "type": "admin-mode"} for action in controls.GOVERNED_ACTIONS]
    given = {"admin-mode.value": [(each, "off") for each in ids]}
    changed = json.dumps(ids[0], sort_keys=True, separators=(",", ":"))
    return console.call("admin-modes.children", given, f"{changed}.value")


def moved_four_eyes(console: Console) -> Any:
    ids = [{"action": action, "type": "admin-four-eyes"} for action in controls.GOVERNED_ACTIONS]
    given = {"admin-four-eyes.checked": [(each, True) for each in ids]}
    changed = json.dumps(ids[0], sort_keys=True, separators=(",", ":"))
    return console.call("admin-modes.children", given, f"{changed}.checked")


def weighed(console: Console) -> Any:
    field = {"name": "price", "of": "groups", "type": "benchmarks-weight"}
    given = {"benchmarks-weight.value": [(field, 0.6)], "benchmarks-weight.id": [(field, field)]}
    given["benchmarks-save.n_clicks"] = 1
    return console.call("benchmarks-weights.children", given, "benchmarks-save.n_clicks")


FROZEN = {"admin-freeze-starts.value": "2026-12-24 00:00", "admin-freeze-ends.value": "2026-12-27"}
WINDOW = {
    "admin-window-actions.value": ["rebalance"],
    "admin-window-days.value": ["sat"],
    "admin-window-starts.value": "02:00",
    "admin-window-ends.value": "05:00",
}


def sped(console: Console) -> Any:
    given = {"shell-speed.value": "60"}
    return console.call("shell-notices.sendNotifications", given, "shell-speed.value")


def read_record(console: Console) -> Any:
    return console.call("admin-grid.getRowsResponse", {"admin-grid.getRowsRequest": BLOCK})


GUARDED: dict[str, tuple[Role, Ask]] = {
    "the record is read": ("admin", read_record),
    "the record is downloaded": ("admin", button("admin-file.data", "admin-download")),
    "everything goes on": ("admin", killed(is_on=False)),
    "everything is stopped": ("operator", killed(is_on=True)),
    "a mode is set": ("admin", moved_mode),
    "four eyes are set": ("admin", moved_four_eyes),
    "a freeze is added": (
        "admin",
        button("admin-windows.children", "admin-freeze-add", **FROZEN),
    ),
    "a maintenance window is added": (
        "admin",
        button("admin-windows.children", "admin-window-add", **WINDOW),
    ),
    "a window is removed": (
        "admin",
        patterned(
            "admin-windows.children", "admin-window-remove", limit="freeze_windows", key="any"
        ),
    ),
    "the second yes is said": (
        "operator",
        patterned("decisions-said.data", "decisions-second", **ASKED),
    ),
    "the breaker is closed": (
        "admin",
        patterned("admin-breaker-box.children", "admin-breaker", action="close"),
    ),
    "the speed is set": ("operator", sped),
    "a card is approved": (
        "operator",
        patterned("decisions-waiting.children", "decisions-approve", **ASKED),
    ),
    "an overview card is approved": (
        "operator",
        patterned("overview-waiting.children", "overview-approve", **ASKED),
    ),
    "the dial is turned": (
        "operator",
        lambda console: console.call(
            "engine-dial-box.children", {"engine-dial.value": "service"}, "engine-dial.value"
        ),
    ),
    "a policy is rolled back": (
        "operator",
        button("engine-back-dialog.opened", "engine-back-confirm", **ROLLED_BACK),
    ),
    "weights are set": ("operator", weighed),
    "a recommendation is proposed": (
        "operator",
        patterned("market-advice.children", "market-propose", id=RECOMMENDED.recommendation_id),
    ),
    "it is approved": ("operator", said("approve")),
    "it is overridden": ("operator", said("override")),
    "it is rejected": ("operator", said("reject")),
}
"""What is asked, and the least role it takes."""


def written(console: Console) -> list[Any]:
    """Everything that a person's click can write."""
    tables = ("controls", "verdicts", "audit_events")
    return [console.store.query(f"SELECT count(*) FROM {name}").item() for name in tables]


@pytest.fixture
def filled(console: Console) -> Console:
    decisions.propose(console.store, SHOWN)
    console.store.append([make_champion(), RECOMMENDED])
    audit.record(console.store, "jon", "session.start", "secret-target", via="browser", at=NOON)
    return console


@pytest.mark.parametrize("what", GUARDED)
def test_a_callback_answers_to_its_role_and_refuses_below_it(filled: Console, what: str) -> None:
    needed, ask = GUARDED[what]
    before = written(filled)
    for role in ROLES[: ROLES.index(needed)]:
        with filled.asked_by(role):
            refused = json.dumps(ask(filled))
        assert "takes the role" in refused
        assert "secret-target" not in refused
        assert written(filled) == before
    with filled.asked_by(needed):
        answer = json.dumps(ask(filled))
    assert "takes the role" not in answer
    assert "secret-target" in answer if "record" in what else written(filled) != before


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_limits_are_saved_by_admins_and_undone_is_by_operators(filled: Console, role: Role) -> None:
    pages, cooldown = filled.page, [{"name": "cooldown_seconds"}]
    before = written(filled)
    with filled.asked_by(role):
        with pytest.raises(NotAllowed):
            pages("admin").save_limits(1, [600], cooldown, None)
        refusal = NotAllowed if role == "viewer" else decisions.NotUndoable
        with pytest.raises(refusal):
            pages("decisions").undo(1, "because", SHOWN.decision_id)
        refusal = NotAllowed if role == "viewer" else decisions.NotWithdrawable
        with pytest.raises(refusal):
            pages("decisions").withdraw(1, "because", SHOWN.decision_id)
    assert written(filled) == before


def test_every_callback_that_notifies_or_reads_the_record_is_among_those(console: Console) -> None:
    """A new callback that tells a person what it did belongs into the table above."""
    heard = set()
    for each in console.callbacks():
        is_asked_here = not each.get("clientside_function")
        if is_asked_here and ("sendNotifications" in each["output"] or "RowsRes" in each["output"]):
            heard.add(each["inputs"][0]["id"])
    kinds = {json.loads(name)["type"] if name.startswith("{") else name for name in heard}
    assert kinds == {
        "admin-grid", "admin-download", "admin-kill-confirm", "admin-mode", "admin-breaker",
        "admin-limits-save", "shell-speed", "decisions-approve", "overview-approve",
        "decisions-confirm", "decisions-undo", "engine-dial", "engine-back-confirm",
        "admin-four-eyes", "admin-freeze-add", "admin-window-add", "admin-window-remove",
        "decisions-second", "decisions-withdraw", "decisions-forgone-grid",
        "decisions-forgone-download", "decisions-grid", "jobs-grid", "jobs-download",
        "engine-grid", "engine-download",
        "market-grid", "market-download", "market-propose",
        "benchmarks-save", "benchmarks-download",
        "sql-grid", "sql-download",
        "admin-storage-download",
        "finance-ask",
        "finance-cost-set",
        "finance-download",
        "finance-grid",
        "finance-preview-grid",
        "finance-verify",
        "tenants-download",
        "tenants-grid",
        # these show what every viewer may see
    }  # fmt: skip


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_the_people_and_the_record_are_not_on_the_page_of_others(
    filled: Console, role: Role
) -> None:
    user = User(user_name="zoe", role="viewer", is_active=True, session_epoch=0, recorded_at=NOON)
    filled.store.append([user])
    assert "zoe" in words_in(filled.open("/admin"))
    with filled.asked_by(role):
        shown = filled.open("/admin")
    assert "zoe" not in words_in(shown)
    assert "Seeing who may sign in takes the role admin." in words_in(shown)
    assert "Reading the record takes the role admin." in words_in(shown)
    assert "admin-grid" not in ids_in(shown)
