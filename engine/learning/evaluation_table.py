"""The table of an evaluation, in Markdown."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import UTC, datetime

import polars as pl

from engine.learning.statistics import ratio_interval, won_ratio

HEADER = (
    "policy", "profit per pool-week", "against the rule", "95 % interval", "weeks won",
    "share of the bound", "late", "lost", "utilisation",
)  # fmt: skip


def document(
    rows: pl.DataFrame, sets: Sequence[tuple[str, str]], command: str, emphasised: Sequence[str]
) -> str:
    """Every set's table with what it was made of; `emphasised` policies stand in bold."""
    now = datetime.now(UTC)
    parts = [
        "# Evaluation",
        f"`{command}`, {now:%Y-%m-%d}, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}.",
        "Contribution profit (revenue less variable costs, penalties and refunds) by trace-driven "
        "simulation; prices, costs and customers' elasticity are assumptions. Differences are "
        "paired by week, intervals by bootstrap over pool-weeks. Late: share of started jobs that "
        "waited longer than promised; lost: share of accepted jobs that left before they started.",
    ]
    for name, words in sets:
        parts += [f"## {name}", words, table(rows.filter(pl.col("set") == name), emphasised)]
    return "\n\n".join(parts) + "\n"


def table(rows: pl.DataFrame, emphasised: Sequence[str] = ()) -> str:
    """One set's table, the rule first and the best below."""
    rule = rows.filter(policy="rule").sort("week")
    bound = rows.filter(policy="bound").sort("week")
    names = [n for n in rows["policy"].unique(maintain_order=True) if n not in ("rule", "bound")]
    ranked = sorted(names, key=lambda n: float(rows.filter(policy=n)["profit_usd"].sum()))
    lines = [_line(rows.filter(policy=n).sort("week"), rule, bound, n in emphasised)
             for n in ["rule", *ranked]]  # fmt: skip
    if bound.height:
        mean = f"${float(bound['profit_usd'].to_numpy().mean()):,.0f}"
        share = float(bound["profit_usd"].sum()) / float(rule["profit_usd"].sum()) - 1
        lines.append(["UB-demand (bound)", mean, f"{share:+.1%}", "", "", "1.00", "", "", ""])
    head = f"| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}"
    return "\n".join([head, *(f"| {' | '.join(line)} |" for line in lines)])


def gain_of(rows: pl.DataFrame, policy: str) -> tuple[float, float, float]:
    """The gain over the rule in one set with its 95 % interval, as ratios."""
    rule = rows.filter(policy="rule").sort("week")["profit_usd"].to_numpy()
    mine = rows.filter(policy=policy).sort("week")["profit_usd"].to_numpy()
    found = ratio_interval(mine - rule, rule)
    return found.value, found.low, found.high


def _line(mine: pl.DataFrame, rule: pl.DataFrame, bound: pl.DataFrame, bold: bool) -> list[str]:
    name = str(mine["policy"][0])
    profits, base = mine["profit_usd"].to_numpy(), rule["profit_usd"].to_numpy()
    gain = ratio_interval(profits - base, base)
    is_rule = name == "rule"
    share = float(profits.sum()) / float(bound["profit_usd"].sum()) if bound.height else None
    late = float(mine["late_jobs"].sum()) / max(float(mine["started_jobs"].sum()), 1.0)
    used = float(mine["used_gpu_hours"].sum()) / max(float(mine["on_gpu_hours"].sum()), 1e-9)
    cells = [
        name,
        f"${profits.mean():,.0f}",
        "–" if is_rule else f"{gain.value:+.1%}",
        "–" if is_rule else f"[{gain.low:+.1%}, {gain.high:+.1%}]",
        "–" if is_rule else f"{won_ratio(profits - base) * len(profits):.0f} of {len(profits)}",
        "" if share is None else f"{share:.3f}",
        f"{late:.1%}",
        f"{float(mine['lost_ratio'].to_numpy().mean()):.1%}",
        f"{used:.3f}",
    ]
    return [f"**{cell}**" if bold and cell else cell for cell in cells]
