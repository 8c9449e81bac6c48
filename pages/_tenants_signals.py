"""The Tenants page in words and signals: who is active, who gives signs of leaving, and why so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
from dash import dcc, html

from pages._parts import Children, empty, figure_tile
from pages._words import count, percent, short_usd, usd
from warehouse.behaviour import Concentration
from warehouse.churn import SIGNS, Judged, Standing
from warehouse.churn_rules import RULES

SHOWN = 12
"""Tenants with signals that are listed; the rest can be downloaded."""
TITLES = {rule.name: rule.title for rule in RULES}


def lead(*said: Children) -> html.P:
    """The sentence above a table or picture."""
    return html.P(list(said), className="tenants-lead")


def tenants_words(number: int) -> str:
    """So many tenants."""
    return f"{count(number)} tenant{'' if number == 1 else 's'}"


def standing_words(standing: Standing, money: Concentration, days: int) -> html.P:
    """The page in sentences."""
    return lead(
        html.B(f"{tenants_words(standing.active)} active this week"),
        f", of {count(standing.tenants)} known. ",
        *_leaving(standing),
        *_revenue(money, days),
    )


def _leaving(standing: Standing) -> list[Any]:
    if standing.unjudged == standing.tenants:
        return ["Too little is known of any of them to speak of signs of leaving. "]
    if not standing.signs:
        said: list[Any] = ["Nobody gives signs of leaving"]
    else:
        verb = "gives" if standing.signs == 1 else "give"
        worth = f", worth {usd(standing.signs_usd_per_day, 0)} a day"
        said = [html.B(f"{count(standing.signs)} {verb} signs of leaving"), worth]
    if standing.reasons:
        verb = "has" if standing.reasons == 1 else "have"
        worth = f"{usd(standing.reasons_usd_per_day, 0)} a day"
        said.append(f"; {count(standing.reasons)} more {verb} a reason to ({worth})")
    if standing.unjudged:
        said.append(f"; of {count(standing.unjudged)} too little is known")
    return [*said, ". "]


def _revenue(money: Concentration, days: int) -> list[Any]:
    if not money.tenants:
        return [f"Nobody was charged anything in {days} days."]
    tops = money.top_ratios
    said = f"Of {short_usd(money.charge_usd)} charged in {days} days the largest pays "
    return [said + f"{percent(tops[1])}, the largest three {percent(tops[3])}."]


def tiles(standing: Standing, money: Concentration, figures: pl.DataFrame, days: int) -> html.Div:
    """The figures that the words rest on."""
    jobs = int(figures["jobs"].sum())
    left, upset = int(figures["left_jobs"].sum()), int(figures["preempted_jobs"].sum())
    failed = int(figures["failed_jobs"].sum())
    ran, asked = (float(figures[f"{which}_gpu_hours"].sum()) for which in ("delivered", "asked"))
    tone = "warn" if standing.signs else ""
    worth = f"{usd(standing.signs_usd_per_day, 0)} a day at stake" if standing.signs else "nobody"
    equal = f"as if {1 / money.herfindahl:.1f} paid alike" if money.herfindahl else ""
    return html.Div(
        [
            figure_tile("Active this week", count(standing.active), "tenants",
                        f"of {count(standing.tenants)} known"),
            figure_tile("Signs of leaving", count(standing.signs), "tenants", worth, tone),
            figure_tile("Revenue", short_usd(money.charge_usd), f"in {days} days", equal),
            figure_tile("Served", percent(ran / asked if asked else None), "",
                        f"{count(ran)} of {count(asked)} GPU-hours asked"),
            figure_tile("Gave up waiting", _share(left, jobs), "",
                        f"{count(left)} of {count(jobs)} jobs, {days} days"),
            figure_tile("Interrupted", _share(upset, jobs), "",
                        f"{count(upset)} jobs; {count(failed)} failed, {days} days"),
        ],
        className="tiles",
    )  # fmt: skip


def _share(part: int, whole: int) -> str:
    return percent(part / whole if whole else None, 1)


def signals_box(found: Sequence[Judged]) -> Any:
    """Who gives signals, the most at stake first, each with its evidence; then the rules."""
    told = [each for each in found if each.signals]
    if not found:
        return html.Div()
    if not told:
        return html.Div([_none(found), _rules()])
    rest = len(told) - SHOWN
    more = lead(f"And {tenants_words(rest)} more, with less at stake.") if rest > 0 else None
    rows = [_row(each) for each in told[:SHOWN]]
    said = lead(
        "Each tenant against itself: its last seven days with the four weeks before. In the order "
        "of what it pays a day, not of how probable it is that it leaves: that nobody knows here."
    )
    return html.Div([said, html.Ul(rows, className="tenants-signals"), more, _rules()])


def _none(found: Sequence[Judged]) -> Any:
    if all(len(each.unjudged) == len(RULES) for each in found):
        told = "It takes up to five weeks of jobs; each tenant's own page says what is missing."
        return empty("Too little is known for any signal", html.Div(told))
    return empty("No signals", html.Div("Every rule that knows enough finds things as usual."))


def _row(each: Judged) -> html.Li:
    stake = f"{usd(each.at_stake_usd_per_day, 0)} a day" if each.at_stake_usd_per_day else "unpaid"
    who = html.Div(
        [
            dcc.Link(each.tenant, href=f"/tenants?tenant={each.tenant}"),
            html.Div(stake, className="sub"),
        ]
    )
    return html.Li([who, evidence(each)])


def evidence(each: Judged) -> html.Ul:
    """The signals of one tenant."""
    rows = [
        html.Li(
            html.P(
                [
                    html.B(TITLES[signal.rule]),
                    html.Span(
                        " (sign) " if signal.rule in SIGNS else " (reason) ", className="dim"
                    ),
                    signal.evidence,
                ]
            )
        )
        for signal in each.signals
    ]
    return html.Ul(rows, className="tenants-evidence")


def _kind(rule: str) -> str:
    return " (sign) " if rule in SIGNS else " (reason) "


def _rules() -> html.Details:
    items = [
        html.Li([html.B(f"{rule.title}: "), rule.says, html.I(f" Does not know: {rule.blind}")])
        for rule in RULES
    ]
    said = html.Summary("The rules, their thresholds and what they do not know")
    return html.Details([said, html.Ul(items, className="tenants-rules")], className="tenants-more")
