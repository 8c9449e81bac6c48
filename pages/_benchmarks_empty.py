"""What stands on the Benchmarks page while nothing, or only documents, tells of the market."""

from __future__ import annotations

from typing import Any

from dash import dcc, html

from pages._parts import empty

SWITCHES = (
    ("RunPod", "PILOTHOUSE_RUNPOD_ENABLED=true", "no key needed"),
    ("Lambda", "PILOTHOUSE_LAMBDA_CLOUD_API_KEY", "a key is needed"),
    ("Vast.ai", "PILOTHOUSE_VAST_ENABLED=true", "no key needed"),
    ("Hyperscalers", "PILOTHOUSE_HYPERSCALERS_ENABLED=true", "no key needed"),
    ("Pricing pages", "PILOTHOUSE_PRICING_PAGES_ENABLED=true", "a browser is needed"),
)
"""Each source, the setting that switches it on, and what it needs."""


def no_scores() -> html.Div:
    """No round of scores has run."""
    said = (
        "Scores are worked out once the console runs: a minute after it starts, then every hour, "
        "from documents, from our own rows and from the sources that are on."
    )
    return empty("The first round has not run yet", html.Div(said), switches(is_open=False))


def only_documents() -> html.Section:
    """Scores there are, but no source has brought an offer lately."""
    said = (
        "No source has brought an offer in the last 7 days. What follows is from documents and "
        "our own rows alone: prices and availability of others are unknown, and most overall "
        "scores are withheld."
    )
    return html.Section(
        [html.B("Known from documents alone. "), html.Span(said), switches(is_open=True)],
        className="panel bench-warn",
        role="status",
    )


def switches(*, is_open: bool) -> html.Details:
    """How a source is switched on."""
    rows: list[Any] = [
        html.Li([html.B(name), " ", html.Code(setting, className="mono"), f" ({need})"])
        for name, setting, need in SWITCHES
    ]
    how = html.Div(
        [
            "Set in the console's environment, then start it again; how each fares stands under ",
            dcc.Link("Admin, Collectors", href="/admin"),
            ".",
        ]
    )
    return html.Details(
        [html.Summary("How to switch sources on"), html.Ul(rows), how],
        open=is_open,
        className="bench-switches",
    )
