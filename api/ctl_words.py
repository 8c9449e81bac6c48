"""The words of `python app.py ctl`: nouns, verbs and what they take."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TypeAlias

URL = "PILOTHOUSE_URL"
TOKEN = "PILOTHOUSE_TOKEN"
HERE = "http://127.0.0.1:8050"
ROWS_DEFAULT = 50


def parser() -> argparse.ArgumentParser:
    """All of it, each with its --help."""
    made = argparse.ArgumentParser(
        prog="python app.py ctl",
        description="A small client of a console's API.",
        epilog=f"The token is taken from {TOKEN}, so that it stands in no list of processes.",
    )
    made.add_argument("--url", default=os.environ.get(URL, HERE), help=f"the console ({URL})")
    made.add_argument("--token-file", type=Path, help=f"a file with the token, instead of {TOKEN}")
    made.add_argument(
        "-o", "--output", choices=("table", "json"), default="table", help="for people, or programs"
    )
    nouns = made.add_subparsers(dest="noun", required=True, metavar="NOUN")
    _single(nouns, "me", "who the token speaks for")
    _add_jobs(_noun(nouns, "jobs", "what waits, runs and ended"))
    _add_decisions(_noun(nouns, "decisions", "what the engine proposes"))
    _limited(_single(nouns, "prices", "each pool's price beside the market's"))
    _add_export(_noun(nouns, "export", "the files for finance"))
    return made


Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _noun(nouns: Verbs, name: str, words: str) -> Verbs:
    made = nouns.add_parser(name, help=words, description=words.capitalize())
    return made.add_subparsers(dest="verb", required=True, metavar="VERB")


def _single(nouns: Verbs, name: str, words: str) -> argparse.ArgumentParser:
    made = nouns.add_parser(name, help=words, description=words.capitalize())
    made.set_defaults(verb="")
    return made


def _limited(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    made.add_argument("--limit", type=int, default=ROWS_DEFAULT, help="most rows to show")
    return made


def _add_jobs(verbs: Verbs) -> None:
    listed = _limited(verbs.add_parser("list", help="the newest first"))
    states = ("queued", "running", "finished", "failed", "left")
    listed.add_argument("--state", choices=states)
    listed.add_argument("--tenant")
    listed.add_argument("--pool")
    verbs.add_parser("show", help="one, with all that happened to it").add_argument("job_id")


def _add_decisions(verbs: Verbs) -> None:
    listed = _limited(verbs.add_parser("list", help="the newest first"))
    listed.add_argument("--state", help="waiting, approved, carried_out, …")
    listed.add_argument("--pool")
    verbs.add_parser("show", help="one, with its evidence").add_argument("decision_id")
    approve = verbs.add_parser("approve", help="say yes to what is shown")
    approve.add_argument("decision_id")
    approve.add_argument("--action-hash", help="what you saw: if it has changed, it is refused")
    approve.add_argument("--reason", help="why, for the record")
    approve.add_argument("--yes", action="store_true", help="don't ask")
    for name, words in (
        ("reject", "say no"),
        ("withdraw", "take an approval back while it waits"),
        ("undo", "ask that what was done be taken back"),
    ):
        verb = verbs.add_parser(name, help=words)
        verb.add_argument("decision_id")
        verb.add_argument("--reason", required=True, help="why, for the record")


def _add_export(verbs: Verbs) -> None:
    _limited(verbs.add_parser("list", help="what was written, and what failed"))
    make = verbs.add_parser("make", help="write days or months now")
    make.add_argument("--from", dest="from_day", required=True, metavar="DAY")
    make.add_argument("--to", dest="to_day", required=True, metavar="DAY")
    make.add_argument("--kind", choices=("focus", "usage"), default="focus")
    make.add_argument("--span", choices=("day", "month"), default="day")
    get = verbs.add_parser("get", help="download one")
    get.add_argument("export_id")
    get.add_argument("--to", type=Path, help="file to write; its own name here without it")
