"""A node's GPUs that are cut up or shared, shown as what they are: instances, and holders' parts.

A GPU that is shared in time has one utilisation, its own; whose part that was, nobody measures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import polars as pl
from dash import dcc, html

from pages._parts import table
from pages._words import count, percent
from warehouse import shares
from warehouse.store import Store

NOT_TOLD = "not told"
GIBIBYTE = 2**30
KINDS = {"mig": "MIG", "time_sliced": "Time-sliced", "mps": "Shared by MPS"}
TITLES = {"time_sliced": "time-sliced", "mps": "shared by MPS"}

Row = dict[str, Any]
V = TypeVar("V")


@dataclass(frozen=True)
class Shared:
    """One GPU that is cut up or shared, its instances and all who hold a part of it."""

    slot: int
    sharing: str
    utilisation_ratio: float | None
    instances: list[Row] = field(default_factory=list)
    holders: list[Row] = field(default_factory=list)

    @property
    def jobs(self) -> list[str]:
        """The jobs that hold a part of it."""
        return list(dict.fromkeys(each["job_id"] for each in self.holders if each["job_id"]))

    def words(self) -> html.Div:
        """How it is given out, and how much of it is held."""
        how, held = f"{KINDS[self.sharing]}{self._by()}", _many(len(self.holders), "holder")
        if self.sharing == "mig":
            parts = {each["gpu_id"] for each in self.instances}
            taken = parts & {each["gpu_id"] for each in self.holders}
            how, held = "MIG", f"{len(taken)} of {_many(len(parts), 'instance')} held"
        lines = [
            html.Div(how),
            html.Div(held if self.holders else "no holder told", className="sub"),
        ]
        return html.Div(lines, className="nowrap")

    def panel(self) -> html.Section:
        """Its instances or its holders, a row each."""
        is_cut = self.sharing == "mig"
        rows = self._instance_rows() if is_cut else self._holder_rows()
        body: list[Any] = [html.H3(f"GPU {self.slot}: {self._title()}"), self._note()]
        if rows:
            head = ("Instance", "Busy", "Held by", "Part")
            shown = table(head if is_cut else head[2:], rows, f"Who holds GPU {self.slot}")
            body.append(html.Div(shown, style={"padding": "0 14px"}))
        return html.Section(body, className="shared-gpu")

    def _by(self) -> str:
        if self.sharing == "mig":
            return ""
        parts = shares.replica_count([each["share_ratio"] for each in self.holders])
        return f" by {parts}" if parts else ""

    def _title(self) -> str:
        if self.sharing == "mig":
            return f"cut up by MIG into {_many(len(self.instances), 'instance')}"
        return f"{TITLES[self.sharing]}{self._by()}"

    def _note(self) -> html.P:
        if self.sharing == "mig":
            said = "Each instance has its own memory and its own part of the compute units."
        else:
            is_told = (
                "" if self.utilisation_ratio is None else f", {percent(self.utilisation_ratio)},"
            )
            said = f"Its utilisation{is_told} is the GPU's, not one holder's."
            if not self.holders:
                said += " Nobody is told to hold a part of it."
        return html.P(said, className="prose")

    def _instance_rows(self) -> list[list[Any]]:
        return [
            [
                _instance(each),
                told(each["utilisation_ratio"], percent),
                *_held([one for one in self.holders if one["gpu_id"] == each["gpu_id"]]),
            ]
            for each in self.instances
        ]

    def _holder_rows(self) -> list[list[Any]]:
        return [_held([each]) for each in self.holders]


def shared_on(store: Store, node_id: str, gpus: pl.DataFrame, since: datetime) -> dict[str, Shared]:
    """By UUID the GPUs of a node that are cut up or shared; `gpus` are its whole GPUs as last read.

    A GPU of which several hold a part is one, even where its source has no word for how.
    """
    cut = shares.instances(store, node_id, since=since).to_dicts()
    held = shares.holders(store, node_id, since=since).to_dicts()
    found = {}
    for gpu in gpus.iter_rows(named=True):
        own = [each for each in cut if each["parent_gpu_id"] == gpu["gpu_id"]]
        parts = {gpu["gpu_id"], *(each["gpu_id"] for each in own)}
        holders = [each for each in held if each["gpu_id"] in parts]
        sharing = "mig" if own else _kind(gpu["sharing"], holders)
        if sharing is not None:
            found[gpu["gpu_id"]] = Shared(
                gpu["slot"], sharing, gpu["utilisation_ratio"], own, holders
            )
    return found


def _kind(told_kind: str | None, holders: list[Row]) -> str | None:
    if told_kind in KINDS:
        return told_kind
    kinds = {each["sharing"] for each in holders} & KINDS.keys()
    return min(kinds, default=None)


def _instance(row: Row) -> html.Div:
    """Its profile, and under it the memory in use of its own."""
    memory = used_of(row["memory_used_bytes"], row["memory_total_bytes"], GIBIBYTE)
    return html.Div(
        [
            html.Div(told(row["mig_profile"], str)),
            html.Div([memory, " GiB"], className="sub nowrap"),
        ]
    )


def _held(holders: list[Row]) -> list[Any]:
    """Who holds it, and what part of the GPU that is."""
    if not holders:
        return [html.Span("nobody", className="dim"), html.Span(NOT_TOLD, className="dim")]
    parts = [shares.part_words(each["share_ratio"]) for each in holders]
    return [
        html.Div([_name(each) for each in holders]),
        html.Div([html.Div(each) for each in parts]),
    ]


def _name(holder: Row) -> html.Div:
    pod = "/".join(each for each in (holder["namespace"], holder["pod"]) if each)
    job = holder["job_id"]
    work: list[Any] = [dcc.Link(job, href=f"/jobs?job={job}") if job else "no job known"]
    if holder["tenant"]:
        work.append(f", {holder['tenant']}")
    return html.Div([html.Div(pod or NOT_TOLD, className="pod"), html.Div(work, className="sub")])


def told(value: V | None, shown: Callable[[V], Any]) -> Any:
    """A measurement as it is shown; where there is none, that it is not told."""
    return html.Span(NOT_TOLD, className="dim nowrap") if value is None else shown(value)


def used_of(used: float | None, whole: float | None, unit: float) -> html.Span:
    """How much of how much, in a unit."""
    shown = NOT_TOLD if used is None else f"{used / unit:,.0f}"
    total = "" if whole is None else f" / {whole / unit:,.0f}"
    return html.Span([shown, html.Span(total, className="dim")], className="nowrap")


def _many(number: int, noun: str) -> str:
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"
