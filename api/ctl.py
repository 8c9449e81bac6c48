"""A small client of the API: `python app.py ctl decisions list`.

    ctl me
    ctl jobs list [--state queued] [--tenant T] [--pool P] | show ID
    ctl decisions list [--state waiting] | show ID | approve ID | reject ID --reason WHY | undo …
    ctl prices
    ctl export list | make --from DAY --to DAY | get ID [--to FILE]

Tables for people, `--output json` for programs. The console is named by `--url` or
PILOTHOUSE_URL, the token by PILOTHOUSE_TOKEN or a file. It ends with 0 where it was done, 1 where
the console said no, 2 where the words make no sense.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from api.ctl_asking import Asking, Said, SaidNo
from api.ctl_tables import DECISIONS, EXPORTS, JOBS, PRICES, details, table
from api.ctl_words import parser

ROWS = 50


def main(arguments: Sequence[str]) -> int:
    """`ctl …`; returns the exit status."""
    given = parser().parse_args(list(arguments))
    shown, told = Console(), Console(stderr=True)
    try:
        with Asking.of(given) as asking:
            return _VERBS[given.noun, given.verb](asking, given, shown)
    except SaidNo as error:
        told.print(f"ctl: {error}", markup=False, soft_wrap=True)
        return 1


def _me(asking: Asking, given: argparse.Namespace, shown: Console) -> int:
    return _one(asking.get("/me"), given, shown)


def _jobs(asking: Asking, given: argparse.Namespace, shown: Console) -> int:
    asked = {"state": given.state, "tenant": given.tenant, "pool": given.pool}
    return _rows(asking.get("/jobs", limit=given.limit, **asked), JOBS, given, shown)


def _job(asking: Asking, given: argparse.Namespace, shown: Console) -> int:
    return _one(asking.get("/jobs/{}", given.job_id), given, shown)


def _decisions(asking: Asking, given: argparse.Namespace, shown: Console) -> int:
    asked = {"state": given.state, "pool": given.pool}
    return _rows(asking.get("/decisions", limit=given.limit, **asked), DECISIONS, given, shown)


def _decision(asking: Asking, given: argparse.Namespace, shown: Console) -> int:
    return _one(asking.get("/decisions/{}", given.decision_id), given, shown)


def _approve(asking: Asking, given: argparse.Namespace, shown: Console) -> int:
    """The yes is to what was shown just now: one that changes meanwhile is refused."""
    found = asking.get("/decisions/{}", given.decision_id).body
    action_hash = given.action_hash or found["action_hash"]
    if not given.yes and not _agreed(found, shown):
        raise SaidNo("nothing was approved")
    body = {"action_hash": action_hash, "reason": given.reason}
    return _one(asking.post("/decisions/{}/approve", body, given.decision_id), given, shown)


def _agreed(found: dict[str, Any], shown: Console) -> bool:
    if not sys.stdin.isatty():
        raise SaidNo("add --yes to approve without being asked")
    shown.print(found["summary"], markup=False)
    shown.print(found["reason"], markup=False)
    return shown.input("Approve? [y/N] ").strip().lower() in ("y", "yes")


def _reasoned(asking: Asking, given: argparse.Namespace, shown: Console) -> int:
    """Reject, withdraw, undo."""
    path = f"/decisions/{{}}/{given.verb}"
    return _one(asking.post(path, {"reason": given.reason}, given.decision_id), given, shown)


def _prices(asking: Asking, given: argparse.Namespace, shown: Console) -> int:
    return _rows(asking.get("/market/pools", limit=given.limit), PRICES, given, shown)


def _exports(asking: Asking, given: argparse.Namespace, shown: Console) -> int:
    return _rows(asking.get("/exports", limit=given.limit), EXPORTS, given, shown)


def _make_export(asking: Asking, given: argparse.Namespace, shown: Console) -> int:
    days = {"from_day": given.from_day, "to_day": given.to_day}
    said = asking.post("/exports", {"kind": given.kind, "span": given.span, **days})
    if given.output == "json":
        return _one(said, given, shown)
    made = said.body["exports"]
    if made:
        shown.print(table(made, EXPORTS))
    for period in said.body["unchanged"]:
        shown.print(f"{period} still holds as it was written.", markup=False)
    if said.body["waits_because"]:
        raise SaidNo(said.body["waits_because"])
    return 1 if any(each["outcome"] == "failed" for each in made) else 0


def _get_export(asking: Asking, given: argparse.Namespace, shown: Console) -> int:
    path = asking.download("/exports/{}/file", given.export_id, to=given.to)
    shown.print(f"{path} is there, and its SHA-256 is the one that was written.", markup=False)
    return 0


def _one(said: Said, given: argparse.Namespace, shown: Console) -> int:
    if given.output == "json":
        shown.out(said.as_json(), highlight=False)
    else:
        shown.print(details(said.body))
    return 0


def _rows(said: Said, columns: dict[str, str], given: argparse.Namespace, shown: Console) -> int:
    if given.output == "json":
        shown.out(said.as_json(), highlight=False)
        return 0
    items, total = said.body["items"], said.body["total"]
    shown.print(table(items, columns) if items else "There is none.")
    if total > len(items):
        more = f"{len(items)} of {total}: --limit shows more."
        Console(stderr=True).print(more, markup=False)
    return 0


_VERBS = {
    ("me", ""): _me,
    ("jobs", "list"): _jobs,
    ("jobs", "show"): _job,
    ("decisions", "list"): _decisions,
    ("decisions", "show"): _decision,
    ("decisions", "approve"): _approve,
    ("decisions", "reject"): _reasoned,
    ("decisions", "withdraw"): _reasoned,
    ("decisions", "undo"): _reasoned,
    ("prices", ""): _prices,
    ("export", "list"): _exports,
    ("export", "make"): _make_export,
    ("export", "get"): _get_export,
}
