"""The guards that a cluster asks for: the rights it gives, and what in it must not be disturbed."""

from __future__ import annotations

from typing import Any

from engine.cases import Asked, Case
from engine.circumstances import Circumstances

SCALING = ("scale_up", "scale_down", "pre_warm", "rebalance")
"""The actions that want more nodes or fewer."""
ITSELF = "the node itself"
"""What `Protected.nodes` says of a node that bears the annotation, rather than a pod of it."""


def rights_are_there(case: Asked, around: Circumstances) -> str | None:
    missing = around.missing_rights.get(case.candidate.action)
    if not missing:
        return None
    return (
        f"the cluster does not let the console {', '.join(missing)}: "
        "grant it as in deploy/kubernetes; it is asked again every ten minutes"
    )


def pool_has_a_lever(case: Case, around: Circumstances) -> str | None:
    pool = case.candidate.pool
    if case.candidate.action not in SCALING or pool not in around.unscaled_pools:
        return None
    return (
        f"nothing says what the nodes of {pool} are scaled by: name it as `scale` in the pools file"
    )


def target_may_be_disturbed(case: Case, around: Circumstances) -> str | None:
    """`karpenter.sh/do-not-disrupt` on a node, on a pod of it or on a job.

    A node that is ill may be quarantined all the same where only a pod of it says so: that pod
    stays where it is.
    """
    given, protected = case.candidate.parameters, around.protected
    is_quarantine = case.candidate.action == "quarantine_node"
    if given.get("job_id") in protected.jobs:
        return f"job {given['job_id']} says karpenter.sh/do-not-disrupt"
    if case.candidate.action in ("quarantine_node", "repair_node", "rebalance"):
        for node_id in _named_nodes(given):
            what = protected.nodes.get(node_id)
            if what is not None and not (is_quarantine and what != ITSELF):
                return f"{node_id}: {what} says karpenter.sh/do-not-disrupt"
    return _empty_nodes_are_enough(case, around)


def _named_nodes(parameters: dict[str, Any]) -> list[str]:
    names = parameters.get("node_ids") or parameters.get("node_id") or ""
    return [name.strip() for name in str(names).split(",") if name.strip()]


def _empty_nodes_are_enough(case: Case, around: Circumstances) -> str | None:
    """It is not ours to say which empty node goes, so that none may be a protected one."""
    kept = around.protected.nodes_by_pool.get(case.candidate.pool, 0)
    if case.candidate.action != "scale_down" or not kept:
        return None
    wanted, empty = int(case.candidate.parameters["nodes"]), case.seen.state.nodes_empty
    if wanted <= empty - kept:
        return None
    return (
        f"{kept} nodes of {case.candidate.pool} say karpenter.sh/do-not-disrupt and "
        f"{empty} are empty: releasing {wanted} could take one of them"
    )
