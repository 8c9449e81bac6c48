"""Reading a Kubernetes object that may be anything: its parts, instants, counts, GPUs.

What can't be read is `Nonsense`, and says what is wrong in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

Object = Mapping[str, Any]

GPU = "nvidia.com/gpu"
_MIG = re.compile(r"nvidia\.com/mig-(?P<slices>[1-7])g\.[0-9]+gb(?:\.[a-z.]+)?")
SLICES = 7
"""MIG slices of a GPU: requests are counted in sevenths."""
QUEUE = "kueue.x-k8s.io/queue-name"
DO_NOT_DISRUPT = "karpenter.sh/do-not-disrupt"
PRODUCT = "nvidia.com/gpu.product"
REGION = "topology.kubernetes.io/region"

Wants = tuple[tuple[str, tuple[str, ...]], ...]
"""Labels that a node must have: each with the values of which it must have one."""


class Nonsense(ValueError):
    """An object that can't be read; the sentence says what is wrong in it."""


def part(of: Object, name: str) -> Object:
    """A part of an object; empty where it has none.

    Raises:
        Nonsense: it is something else.
    """
    found = of.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Nonsense(f"{name} is no object")
    return found


def parts(of: Object, name: str) -> Iterator[Object]:
    """The objects of a list; none where there is no list.

    Raises:
        Nonsense: it is no list of objects.
    """
    found = of.get(name) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Nonsense(f"{name} is no list of objects")
    return iter(found)


def instant(text: Any) -> datetime | None:
    """An instant of Kubernetes; None where there is none.

    Raises:
        Nonsense: it is no instant.
    """
    if not text:
        return None
    try:
        read = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise Nonsense(f"{text!r:.60} is no instant") from None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)


def number(value: Any, what: str) -> int:
    """A count, 0 where there is none.

    Raises:
        Nonsense: it is none, or below 0.
    """
    if value is None:
        return 0
    try:
        read = int(value)
    except (TypeError, ValueError):
        raise Nonsense(f"{what} is {value!r:.60}, which is no whole number") from None
    if not 0 <= read < 2**31:
        raise Nonsense(f"{what} is {read}")
    return read


def created_at(meta: Object) -> datetime:
    """When an object was made.

    Raises:
        Nonsense: it doesn't say.
    """
    made = instant(meta.get("creationTimestamp"))
    if made is None:
        raise Nonsense("it has no creationTimestamp")
    return made


def name_of(meta: Object) -> str:
    """`namespace/name`, or the name of what has no namespace.

    Raises:
        Nonsense: it has no name.
    """
    name = meta.get("name")
    if not isinstance(name, str) or not name:
        raise Nonsense("it has no name")
    namespace = meta.get("namespace")
    return f"{namespace}/{name}" if namespace else name


def sevenths_of(resources: Object) -> int:
    """The GPUs among resources, MIG slices as their share, in sevenths of a GPU."""
    total = 0
    for name, quantity in resources.items():
        if name == GPU:
            total += SLICES * number(quantity, name)
        elif slices := _MIG.fullmatch(name):
            total += int(slices["slices"]) * number(quantity, name)
    return total


def gpus_of(sevenths: int) -> int:
    """Sevenths as GPUs, a part of one counted whole."""
    return -(-sevenths // SLICES)


def pod_sevenths(spec: Object) -> int:
    """What a pod's containers ask for; of those that run before the others the largest."""
    together = sum(_container_sevenths(each) for each in parts(spec, "containers"))
    before = 0
    for each in parts(spec, "initContainers"):
        if each.get("restartPolicy") == "Always":
            together += _container_sevenths(each)
        else:
            before = max(before, _container_sevenths(each))
    return max(together, before)


def _container_sevenths(container: Object) -> int:
    resources = part(container, "resources")
    return sevenths_of({**part(resources, "limits"), **part(resources, "requests")})


def condition(status: Object, kind: str) -> Object | None:
    """A condition that is True; None where it is not."""
    for each in parts(status, "conditions"):
        if each.get("type") == kind:
            return each if each.get("status") == "True" else None
    return None


def is_marked(meta: Object, annotation: str) -> bool:
    """Whether an annotation says true."""
    return part(meta, "annotations").get(annotation) == "true"


def owner_of(meta: Object) -> Object:
    """Who owns it; empty where nobody does."""
    owners = list(parts(meta, "ownerReferences"))
    return next((each for each in owners if each.get("controller")), owners[0] if owners else {})


def wants_of(spec: Object, names: Iterable[str]) -> Wants:
    """The labels, of those named, that a pod's selector and required affinity ask of a node."""
    asked: dict[str, tuple[str, ...]] = {
        key: (str(value),) for key, value in part(spec, "nodeSelector").items()
    }
    required = part(
        part(part(spec, "affinity"), "nodeAffinity"),
        "requiredDuringSchedulingIgnoredDuringExecution",
    )
    for term in parts(required, "nodeSelectorTerms"):
        for rule in parts(term, "matchExpressions"):
            if rule.get("operator") == "In":
                asked[str(rule.get("key"))] = tuple(map(str, rule.get("values") or ()))
    return tuple((name, asked[name]) for name in names if name in asked)
