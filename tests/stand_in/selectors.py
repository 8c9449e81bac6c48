"""Label and field selectors: what they match, and how a bad one is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.stand_in.kinds import Kind
from tests.stand_in.refusals import bad_request

Test = Callable[[Mapping[str, Any]], bool]

_KEY = r"[A-Za-z0-9][A-Za-z0-9._/-]*"
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s+\(([^)]*)\)")
_EQUALS = re.compile(rf"({_KEY})\s*(==|=|!=)\s*([A-Za-z0-9._-]*)")
_HAS = re.compile(rf"(!?)\s*({_KEY})")


def label_test(selector: str) -> Test:
    """Whether an object's labels match a selector as it stands in a query.

    Raises:
        Refusal: 400, it can't be read.
    """
    tests = [_one(part) for part in _parts(selector)]
    return lambda labels: all(test(labels) for test in tests)


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, Any]) -> bool:
    """Whether labels match a selector as it stands in an object; an empty one matches all."""
    said = selector or {}
    if any(labels.get(key) != value for key, value in (said.get("matchLabels") or {}).items()):
        return False
    return all(expression_holds(one, labels) for one in said.get("matchExpressions") or ())


def expression_holds(one: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    """Whether one `matchExpressions` entry holds."""
    value, values = labels.get(one["key"]), one.get("values") or ()
    by_operator: dict[str, Callable[[], bool]] = {
        "In": lambda: value in values,
        "NotIn": lambda: value not in values,
        "Exists": lambda: value is not None,
        "DoesNotExist": lambda: value is None,
        "Gt": lambda: value is not None and int(value) > int(values[0]),
        "Lt": lambda: value is not None and int(value) < int(values[0]),
    }
    return by_operator[one["operator"]]()


def field_test(selector: str, kind: Kind) -> Test:
    """Whether an object matches a field selector.

    Raises:
        Refusal: 400, it asks for a field that this kind is not selected by.
    """
    wanted = []
    for part in filter(None, selector.split(",")):
        match = re.fullmatch(r"([^=!]+)(==|=|!=)(.*)", part)
        if not match:
            raise bad_request(f"invalid selector: '{selector}'; can't understand '{part}'")
        field, operator, value = match.groups()
        if field not in kind.fields:
            raise bad_request(f"field label not supported: {field}")
        wanted.append((field, operator != "!=", value))
    return lambda body: all((_text(body, f) == value) is equal for f, equal, value in wanted)


def _text(body: Mapping[str, Any], dotted: str) -> str:
    found: Any = body
    for key in dotted.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    if isinstance(found, bool):
        return str(found).lower()
    if found is None and dotted == "spec.unschedulable":
        return "false"
    return "" if found is None else str(found)


def _parts(selector: str) -> list[str]:
    """Split at the commas that stand outside brackets."""
    return [part.strip() for part in re.split(r",(?![^(]*\))", selector) if part.strip()]


def _one(part: str) -> Test:
    if match := _SET.fullmatch(part):
        key, operator, inside = match.groups()
        values = {value.strip() for value in inside.split(",")}
        if operator == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if match := _EQUALS.fullmatch(part):
        key, operator, value = match.groups()
        return lambda labels: (labels.get(key) == value) is (operator != "!=")
    if match := _HAS.fullmatch(part):
        absent, key = match.groups()
        return lambda labels: (key in labels) is (not absent)
    first = re.match(r"==|=|!=|\W", part)
    found = first.group() if first else part
    raise bad_request(f"found '{found}', expected: !, identifier, or 'end of string'")
