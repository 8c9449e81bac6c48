"""What pages tell of their use: a page looked at, a file taken. What is counted is `usage.note`'s.

A page is looked at when its layout is asked for, which is once a visit, also where the browser
went from page to page without loading anything anew.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dash import Output, no_update

from warehouse import usage


def note_views(registered: Iterable[dict[str, Any]]) -> None:
    """Have each page of Dash's registry counted when its layout is asked for."""
    for each in registered:
        if callable(each["layout"]):
            each["layout"] = _viewed(each["layout"], each["path"])


def _viewed(layout: Callable[..., Any], path: str) -> Callable[..., Any]:
    @functools.wraps(layout)
    def counted(*given: Any, **asked: Any) -> Any:
        usage.note("page_view", path)
        return layout(*given, **asked)

    return counted


def noting_downloads(function: Callable[..., Any], wired: Sequence[Any]) -> Callable[..., Any]:
    """A callback that counts a download where it fills a `dcc.Download`; others as they are."""
    outputs = [each for each in wired if isinstance(each, Output)]
    files = [place for place, each in enumerate(outputs) if _is_file(each)]
    if not files:
        return function
    place, subject = files[0], str(outputs[files[0]].component_id).removesuffix("-file")

    @functools.wraps(function)
    def counted(*values: Any) -> Any:
        answer = function(*values)
        sent = answer[place] if len(outputs) > 1 else answer
        if sent is not None and sent is not no_update:
            usage.note("download", f"/{subject}")
        return answer

    return counted


def _is_file(output: Output) -> bool:
    """By the house's habit the id of a `dcc.Download` ends in `-file`."""
    name = output.component_id
    return output.component_property == "data" and isinstance(name, str) and name.endswith("-file")
