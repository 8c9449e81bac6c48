"""The four ways of changing a part: merge, strategic merge, JSON patch, and apply's merge."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from tests.stand_in.refusals import Refusal, refuse

MERGE_KEYS = {
    "conditions": "type",
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "addresses": "type",
    "ownerReferences": "uid",
    "imagePullSecrets": "name",
    "topologySpreadConstraints": "topologyKey",
}
"""Lists that a strategic merge merges; others it replaces, a node's taints and a pod's tolerations
among them."""
UNIONS = frozenset({"finalizers"})


def merged(old: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(old) if isinstance(old, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def strategic(old: Any, patch: Any) -> Any:
    """Kubernetes' own: like a merge, but some lists are merged by a key."""
    if not isinstance(patch, Mapping):
        return patch
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    result = dict(old) if isinstance(old, Mapping) else {}
    for key, value in patch.items():
        if key.startswith(("$setElementOrder", "$patch", "$retainKeys", "$deleteFrom")):
            continue
        if value is None:
            result.pop(key, None)
        elif isinstance(value, list):
            result[key] = _strategic_list(key, result.get(key) or [], value)
        else:
            result[key] = strategic(result.get(key), value)
    return result


def _strategic_list(name: str, old: list[Any], patch: list[Any]) -> list[Any]:
    if name in UNIONS:
        return [*old, *(one for one in patch if one not in old)]
    key = MERGE_KEYS.get(name)
    if key is None or any("$patch" in one and one["$patch"] == "replace" for one in patch):
        return [one for one in patch if not (isinstance(one, Mapping) and "$patch" in one)]
    gone = {one.get(key) for one in patch if one.get("$patch") == "delete"}
    changes = {one.get(key): one for one in patch if "$patch" not in one}
    there = {one.get(key) for one in old}
    fresh = [strategic({}, one) for value, one in changes.items() if value not in there]
    kept = [
        strategic(one, changes.get(one.get(key), {})) for one in old if one.get(key) not in gone
    ]
    return fresh + kept


def applied(old: Any, config: Any) -> Any:
    """What apply makes of an object: maps merged, keyed lists merged, the rest replaced."""
    if isinstance(config, Mapping):
        result = dict(old) if isinstance(old, Mapping) else {}
        for key, value in config.items():
            if isinstance(value, list) and key in (*MERGE_KEYS, "taints"):
                by = MERGE_KEYS.get(key, "key")
                result[key] = _by_key(result.get(key) or [], value, by)
            else:
                result[key] = applied(result.get(key), value)
        return result
    return config


def _by_key(old: list[Any], config: list[Any], by: str) -> list[Any]:
    changes = {one.get(by): one for one in config}
    kept = [applied(one, changes.pop(one.get(by), {})) for one in old]
    return kept + list(changes.values())


def json_patched(body: Any, operations: list[Mapping[str, Any]]) -> Any:
    """RFC 6902.

    Raises:
        Refusal: 422, a test fails or a path is not there.
    """
    result = copy.deepcopy(body)
    for one in operations:
        try:
            result = _operate(result, one)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise _in_vain() from error
    return result


def _in_vain() -> Refusal:
    message = "the server rejected our request due to an error in our request"
    return refuse(422, "Invalid", message, {})


def _operate(body: Any, one: Mapping[str, Any]) -> Any:
    keys = [key.replace("~1", "/").replace("~0", "~") for key in one["path"].split("/")[1:]]
    if one["op"] in ("move", "copy"):
        value = _at(body, one["from"].split("/")[1:])
        if one["op"] == "move":
            body = _operate(body, {"op": "remove", "path": one["from"]})
        return _operate(body, {"op": "add", "path": one["path"], "value": value})
    holder, last = _at(body, keys[:-1]), keys[-1]
    if one["op"] == "test":
        if _at(holder, [last]) != one.get("value"):
            raise ValueError(one["path"])
    elif isinstance(holder, list):
        _operate_on_list(holder, last, one)
    else:
        if one["op"] in ("remove", "replace"):
            del holder[last]
        if one["op"] in ("add", "replace"):
            holder[last] = one["value"]
    return body


def _operate_on_list(holder: list[Any], last: str, one: Mapping[str, Any]) -> None:
    index = len(holder) if last == "-" else int(last)
    if one["op"] in ("remove", "replace"):
        del holder[index]
    if one["op"] in ("add", "replace"):
        holder.insert(index, one["value"])


def _at(body: Any, keys: list[str]) -> Any:
    for key in keys:
        plain = key.replace("~1", "/").replace("~0", "~")
        body = body[int(plain)] if isinstance(body, list) else body[plain]
    return body
