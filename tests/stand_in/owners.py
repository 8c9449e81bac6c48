"""Who set which field: `metadata.managedFields`, and the conflicts of server-side apply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.stand_in.patches import MERGE_KEYS
from tests.stand_in.refusals import refuse

Path = tuple[str, ...]
_UNOWNED = {"kind", "apiVersion"}
_UNOWNED_META = {
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "managedFields",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generateName",
}


def leaves(body: Mapping[str, Any]) -> dict[Path, Any]:
    """The fields that can be owned, with their values."""
    found: dict[Path, Any] = {}
    for key, value in body.items():
        if key == "metadata":
            kept = {k: v for k, v in value.items() if k not in _UNOWNED_META}
            found.update(_under(("f:metadata",), kept))
        elif key not in _UNOWNED:
            found.update(_under((f"f:{key}",), value))
    return found


def _under(at: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, Mapping) and value:
        for key, one in value.items():
            by = MERGE_KEYS.get(key)
            if by and isinstance(one, list) and all(isinstance(each, Mapping) for each in one):
                for each in one:
                    mark = f'k:{{"{by}":"{each.get(by)}"}}'
                    yield from _under((*at, f"f:{key}", mark), each)
            else:
                yield from _under((*at, f"f:{key}"), one)
    else:
        yield at, value


def with_owner(
    old: Mapping[str, Any] | None,
    new: dict[str, Any],
    manager: str,
    at: str,
    subresource: str = "",
    config: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The object with its managedFields as a write leaves them; `config` is what was applied."""
    entries = [dict(one) for one in (old or {}).get("metadata", {}).get("managedFields") or ()]
    before = leaves(old) if old else {}
    after = leaves(new)
    touched = {path for path, value in after.items() if path not in before or before[path] != value}
    touched |= {path for path in before if path not in after}
    operation = "Apply" if config is not None else "Update"
    mine = (manager, operation, subresource)
    owned = set(leaves(config)) if config is not None else touched
    changed = False
    kept = []
    for entry in entries:
        paths = set(_paths(entry["fieldsV1"]))
        is_mine = (entry["manager"], entry["operation"], entry.get("subresource", "")) == mine
        left = (owned | (paths if config is None else set())) if is_mine else paths - touched
        left &= set(after)
        changed = changed or is_mine
        if left == paths:
            kept.append(entry)
        elif left:
            kept.append(_entry(left, mine, new, at))
    if not changed and owned & set(after):
        kept.append(_entry(owned & set(after), mine, new, at))
    meta = {k: v for k, v in new["metadata"].items() if k != "managedFields"}
    if kept:
        meta["managedFields"] = kept
    return {**new, "metadata": meta}


def refuse_conflicts(old: Mapping[str, Any], config: Mapping[str, Any], manager: str) -> None:
    """Nothing, where nobody else owns what is applied with another value.

    Raises:
        Refusal: 409 with a cause for each field.
    """
    now = leaves(old)
    wanted = {path: value for path, value in leaves(config).items() if now.get(path) != value}
    causes = []
    for entry in old["metadata"].get("managedFields") or ():
        is_mine = entry["manager"] == manager and entry["operation"] == "Apply"
        for path in () if is_mine else sorted(set(_paths(entry["fieldsV1"])) & set(wanted)):
            using = "" if entry["operation"] == "Apply" else f" using {entry['apiVersion']}"
            message = f'conflict with "{entry["manager"]}"{using}'
            field = "." + ".".join(part.split(":", 1)[1] for part in path)
            causes.append({"reason": "FieldManagerConflict", "message": message, "field": field})
    if causes:
        first = f"{causes[0]['message']}: {causes[0]['field']}"
        plural = "conflict" if len(causes) == 1 else "conflicts"
        message = f"Apply failed with {len(causes)} {plural}: {first}"
        raise refuse(409, "Conflict", message, {"causes": causes})


def _entry(
    paths: set[Path], mine: tuple[str, str, str], body: Mapping[str, Any], at: str
) -> dict[str, Any]:
    manager, operation, subresource = mine
    tree: dict[str, Any] = {}
    for path in sorted(paths):
        branch = tree
        for part in path:
            branch = branch.setdefault(part, {})
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": body["apiVersion"],
        "time": at,
        "fieldsType": "FieldsV1",
        "fieldsV1": tree,
        **({"subresource": subresource} if subresource else {}),
    }


def _paths(tree: Mapping[str, Any], at: Path = ()) -> Iterator[Path]:
    for key, value in tree.items():
        if key == ".":
            continue
        if value:
            yield from _paths(value, (*at, key))
        else:
            yield (*at, key)
