"""An expected gain drawn: the interval a band, its middle a tick, what came of it a dot."""

from __future__ import annotations

from collections.abc import Iterable

from dash import html

from pages._words import signed_usd

PADDING_RATIO = 0.06


def interval_bar(
    low: float, expected: float, high: float, realised: float | None = None
) -> html.Div:
    """The interval of a gain in USD an hour, with zero marked and the realised gain if known."""
    ends = _ends([low, high, expected, 0.0] + ([] if realised is None else [realised]))
    left, right = (_position(value, ends) for value in (low, high))
    label = f"expected {signed_usd(expected)} an hour, {signed_usd(low)} to {signed_usd(high)}"
    if realised is not None:
        label += f", realised {signed_usd(realised)}"
    marks = [
        html.Span(className="interval-zero", style={"left": f"{_position(0.0, ends):.1f}%"}),
        html.Span(className="interval-band", style=_band(left, right)),
        html.Span(className="interval-mid", style={"left": f"{_position(expected, ends):.1f}%"}),
    ]
    if realised is not None:
        tone = (
            "is-kept" if low <= realised <= high else ("is-over" if realised > high else "is-under")
        )
        where = {"left": f"{_position(realised, ends):.1f}%"}
        marks.append(html.Span(className=f"interval-dot {tone}", style=where))
    return html.Div(marks, className="interval", role="img", **{"aria-label": label})


def _band(left: float, right: float) -> dict[str, str]:
    return {"left": f"{left:.1f}%", "width": f"{max(right - left, 0.8):.1f}%"}


def _ends(values: Iterable[float]) -> tuple[float, float]:
    known = list(values)
    low, high = min(known), max(known)
    margin = (high - low or 1.0) * PADDING_RATIO
    return low - margin, high + margin


def _position(value: float, ends: tuple[float, float]) -> float:
    """Where a value lies between the ends, in percent."""
    return (value - ends[0]) / (ends[1] - ends[0]) * 100
