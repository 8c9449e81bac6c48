"""How `ctl` shows answers to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

JOBS = {
    "job_id": "job",
    "tenant": "tenant",
    "pool": "pool",
    "state": "state",
    "gpu_count": "GPUs",
    "submitted_at": "submitted",
    "wait_seconds": "wait, s",
    "charged_usd": "charged, $",
}
DECISIONS = {
    "decision_id": "decision",
    "state": "state",
    "summary": "what",
    "expected_gain_usd_per_hour": "gain, $/h",
    "proposed_at": "proposed",
    "expires_at": "expires",
}
PRICES = {
    "pool": "pool",
    "gpu_model": "GPU",
    "price_usd_per_gpu_hour": "ours, $/GPU-h",
    "rank": "rank",
    "ranked": "of",
    "floor_usd_per_gpu_hour": "floor",
    "ceiling_usd_per_gpu_hour": "ceiling",
}
EXPORTS = {
    "export_id": "export",
    "kind": "kind",
    "span": "span",
    "period_starts_at": "period",
    "version": "version",
    "outcome": "outcome",
    "row_count": "rows",
    "billed_usd": "billed, $",
}
"""The columns that are shown of each, and their heads."""


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> Table:
    """Rows with these columns; figures to the right."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for name, head in columns.items():
        is_figure = any(isinstance(row[name], int | float) for row in rows)
        # What names a row is never cut: it is what the next command wants.
        is_id = name.endswith("_id")
        made.add_column(
            head,
            justify="right" if is_figure else "left",
            no_wrap=is_id,
            overflow="fold" if is_id else "ellipsis",
        )
    for row in rows:
        made.add_row(*(_cell(row[name]) for name in columns))
    return made


def details(row: Mapping[str, Any]) -> Table:
    """One thing, a line a field; what is not there is left out."""
    made = Table(box=None, pad_edge=False, show_header=False)
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in row.items():
        if value is not None and value != [] and value != {}:
            made.add_row(name, _cell(value))
    return made


def _cell(value: Any) -> str:
    """A value as text, its brackets no mark-up of Rich's."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, list):
        return "\n".join(_cell(each) for each in value)
    if isinstance(value, dict):
        return "; ".join(f"{name} {_cell(each)}" for name, each in value.items())
    text = str(value)
    is_instant = len(text) >= 20 and text[4:5] == "-" and text[10:11] == "T"
    return _escaped(text[:16].replace("T", " ") if is_instant else text)


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")
