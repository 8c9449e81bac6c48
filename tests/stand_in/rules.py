"""What a real API server refuses with 422: names, missing parts, and what may not change."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tests.stand_in.kinds import Kind
from tests.stand_in.refusals import invalid

Body = Mapping[str, Any]

SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
WHY_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    f"for validation is '{SUBDOMAIN}')"
)
MOVABLE = ("nodeSelector", "affinity", "tolerations", "schedulingGates")
"""Of a Job's pod template; its labels and annotations too."""
POD_MAY_CHANGE = (
    "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
    "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set "
    "to 1 if it was previously negative)"
)
IMMUTABLE = "field is immutable"


def check(kind: Kind, new: Body, old: Body | None) -> None:
    """Nothing, where the object may be made, or may take the place of the old one.

    Raises:
        Refusal: 422.
    """
    if old is None:
        _check_name(kind, new)
    of_kind = _BY_KIND.get(kind.kind)
    if of_kind:
        of_kind(kind, new, old)
    replicas = (new.get("spec") or {}).get("replicas")
    if isinstance(replicas, int) and replicas < 0:
        why = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise _refusal(kind, new, "spec.replicas", why)


def _check_name(kind: Kind, new: Body) -> None:
    name = new["metadata"].get("name", "")
    if not name:
        why = "Required value: name or generateName is required"
        raise _refusal(kind, new, "metadata.name", why, "FieldValueRequired")
    if not re.fullmatch(SUBDOMAIN, name) or len(name) > 253:
        why = f'Invalid value: "{name}": {WHY_SUBDOMAIN}'
        raise _refusal(kind, new, "metadata.name", why)


def _check_pod(kind: Kind, new: Body, old: Body | None) -> None:
    if not new["spec"].get("containers"):
        why = "Required value"
        raise _refusal(kind, new, "spec.containers", why, "FieldValueRequired")
    if old is None:
        return
    before, after = _fixed(old["spec"]), _fixed(new["spec"])
    if before != after or not _grows(old["spec"], new["spec"]):
        key = next((k for k in {**before, **after} if before.get(k) != after.get(k)), "tolerations")
        why = f"{POD_MAY_CHANGE}\n- {key}: {json.dumps(before.get(key))}"
        raise _refusal(kind, new, "spec", why, "FieldValueForbidden")


def _fixed(spec: Body) -> dict[str, Any]:
    kept = {k: v for k, v in spec.items() if k not in ("tolerations", "activeDeadlineSeconds")}
    kept["containers"] = [
        {k: v for k, v in one.items() if k != "image"} for one in spec["containers"]
    ]
    return kept


def _grows(old: Body, new: Body) -> bool:
    return all(one in (new.get("tolerations") or ()) for one in old.get("tolerations") or ())


def _check_job(kind: Kind, new: Body, old: Body | None) -> None:
    template = new["spec"]["template"]
    if not template["spec"].get("containers"):
        field, why = "spec.template.spec.containers", "Required value"
        raise _refusal(kind, new, field, why, "FieldValueRequired")
    if template["spec"].get("restartPolicy") not in ("Never", "OnFailure"):
        policy = template["spec"].get("restartPolicy")
        why = f'Unsupported value: "{policy}": supported values: "OnFailure", "Never"'
        field = "spec.template.spec.restartPolicy"
        raise _refusal(kind, new, field, why, "FieldValueNotSupported")
    if old is not None:
        _check_job_change(kind, new, old)


def _check_job_change(kind: Kind, new: Body, old: Body) -> None:
    for field in ("selector", "completionMode", "completions"):
        if new["spec"].get(field) != old["spec"].get(field):
            why = f"Invalid value: {json.dumps(new['spec'].get(field))}: {IMMUTABLE}"
            raise _refusal(kind, new, f"spec.{field}", why)
    before, after = old["spec"]["template"], new["spec"]["template"]
    if before == after:
        return
    if not may_move(old):
        why = f"Invalid value: {json.dumps(after)}: {IMMUTABLE}"
        raise _refusal(kind, new, "spec.template", why)
    if _held(before["spec"]) != _held(after["spec"]):
        why = f"Invalid value: {json.dumps(after['spec'])}: {IMMUTABLE}"
        raise _refusal(kind, new, "spec.template.spec", why)


def may_move(job: Body) -> bool:
    """Whether a Job's scheduling may change: suspended, and no pod of it active."""
    status = job.get("status") or {}
    stands = any(
        one["type"] == "Suspended" and one["status"] == "True"
        for one in status.get("conditions") or ()
    )
    never_began = not status.get("startTime") and not status.get("active")
    return bool(job["spec"].get("suspend")) and (
        never_began or (stands and not status.get("active"))
    )


def _held(spec: Body) -> dict[str, Any]:
    return {key: value for key, value in spec.items() if key not in MOVABLE}


def _check_event(kind: Kind, new: Body, old: Body | None) -> None:
    about = (new.get("involvedObject") or {}).get("namespace", "")
    stands_in = new["metadata"].get("namespace", "")
    if about != stands_in and not (not about and stands_in == "default"):
        why = f'Invalid value: "{about}": does not match event.namespace'
        raise _refusal(kind, new, "involvedObject.namespace", why)


def _check_lease(kind: Kind, new: Body, old: Body | None) -> None:
    seconds = (new.get("spec") or {}).get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        why = f"Invalid value: {seconds}: must be greater than 0"
        raise _refusal(kind, new, "spec.leaseDurationSeconds", why)


def _refusal(kind: Kind, new: Body, field: str, why: str, reason: str = "") -> Exception:
    return invalid(kind.kind, kind.group, new["metadata"].get("name", ""), field, why, reason)


_BY_KIND = {
    "Pod": _check_pod,
    "Job": _check_job,
    "Event": _check_event,
    "Lease": _check_lease,
}
