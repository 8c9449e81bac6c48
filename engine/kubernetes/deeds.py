"""Which steps a command is: from its name and arguments to a deed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.api import Api, Body
from cluster.settings import PoolTerms
from engine.kubernetes import proposals
from engine.kubernetes.coming import (
    AWAITED,
    Cancel,
    CancelNode,
    ScaleUp,
    WaitNodes,
    Warm,
)
from engine.kubernetes.events import Tell
from engine.kubernetes.going import Pick, ScaleDown
from engine.kubernetes.journal import Journal
from engine.kubernetes.levers import Scale
from engine.kubernetes.migration import MigrateJob, Migration
from engine.kubernetes.nodes import Uncordon
from engine.kubernetes.objects import job_path, meta, node_path
from engine.kubernetes.prices import ReadPrice, SetPrice
from engine.kubernetes.quarantine import Quarantine, ReturnNode
from engine.kubernetes.rebalance import Identify, Rebalance
from engine.kubernetes.repair import Repair
from engine.kubernetes.settings import HandsSettings
from engine.kubernetes.steps import Deed, Refused
from warehouse.clock import Clock
from warehouse.store import Store

Arguments = Mapping[str, Any]
DEFAULT_GPUS_PER_NODE = 8
REPAIRS_FOLDER = "pilothouse-repairs"


@dataclass(frozen=True)
class Deeds:
    """Makes deeds of commands."""

    store: Store
    api: Api
    clock: Clock
    settings: HandsSettings
    gate: Callable[[], str | None]
    folder: Path = field(default_factory=lambda: Path(tempfile.gettempdir()) / REPAIRS_FOLDER)
    """Where the repair command's ends are written down."""

    def of(self, journal: Journal, command: str, arguments: Arguments) -> Deed:
        """The deed of a command.

        Raises:
            Refused: it can't be had; there is nothing to act on, or no such command.
        """
        makers = {
            "set_price": self._set_price,
            "scale_up": self._scale_up,
            "scale_down": self._scale_down,
            "pre_warm": self._pre_warm,
            "cool_down": self._cool_down,
            "cancel_node": self._cancel_node,
            "release_node": self._release_node,
            "quarantine_node": self._quarantine,
            "return_node": self._return_node,
            "repair_node": self._repair,
            "migrate_job": self._migrate,
            "rebalance": self._rebalance,
        }
        if command not in makers:
            raise Refused("unknown", f"this console's hands know no {command}")
        return makers[command](journal, arguments)

    # -- prices --------------------------------------------------------------------

    def _set_price(self, journal: Journal, arguments: Arguments) -> Deed:
        pool = arguments["pool"]
        first = self._terms(pool).price_usd_per_gpu_hour
        target, asking = f"price/{pool}", self.settings.request_seconds
        return SetPrice(
            ReadPrice(
                target, asking, store=self.store, clock=self.clock, pool=pool, first_price=first
            )
        )

    # -- more and fewer nodes ------------------------------------------------------

    def _scale_up(self, journal: Journal, arguments: Arguments) -> Deed:
        pool, nodes = arguments["pool"], int(arguments["nodes"])
        scale = self._scale(journal, pool, nodes)
        wait = WaitNodes(
            scale.target,
            self.settings.scale_seconds,
            api=self.api,
            pool=pool,
            pool_labels=self.settings.pool_label_names,
            nodes=nodes,
        )
        return ScaleUp(scale, wait, self._tell_scaled(journal, scale, f"{nodes} nodes more"))

    def _scale_down(self, journal: Journal, arguments: Arguments) -> Deed:
        pool, nodes = arguments["pool"], int(arguments["nodes"])
        return self._fewer(journal, pool, nodes, lambda node: True)

    def _fewer(
        self,
        journal: Journal,
        pool: str,
        nodes: int,
        may_go: Callable[[Body], bool],
        *,
        at_most: bool = False,
    ) -> Deed:
        scale = self._scale(journal, pool, -nodes, may_stay=True)
        pick = Pick(
            scale.target,
            self.settings.scale_seconds,
            api=self.api,
            path=scale.path,
            pool=pool,
            pool_labels=self.settings.pool_label_names,
            nodes=nodes,
            proposed=scale.proposed,
            may_go=may_go,
            at_most=at_most,
        )
        tell = self._tell_scaled(journal, scale, f"{nodes} nodes fewer")
        return ScaleDown(
            pick, scale, tell, journal.decision_id, self.settings.request_seconds, self.gate
        )

    def _release_node(self, journal: Journal, arguments: Arguments) -> Deed:
        node_id = str(arguments["node_id"])
        if AWAITED in node_id:  # it came after the deadline: any that is new may go
            before = self._nodes_before(journal)
            return self._fewer(
                journal, arguments["pool"], 1, lambda node: meta(node)["uid"] not in before
            )
        return self._fewer(
            journal, arguments["pool"], 1, lambda node: meta(node)["name"] == node_id
        )

    def _nodes_before(self, journal: Journal) -> set[str]:
        """uids of the nodes that were there before the decision's own scale-up."""
        done = Journal(self.store, journal.decision_id)
        found = [entry.found for (name, _), entry in done.entries.items() if name == "scale"]
        return {uid for each in found for uid in each.get("node_uids", [])}

    def _cancel_node(self, journal: Journal, arguments: Arguments) -> Deed:
        pool, node_id = arguments["pool"], str(arguments["node_id"])
        scale = self._scale(journal, pool, -1)
        cancel = Cancel(
            scale.target,
            self.settings.request_seconds,
            api=self.api,
            path=scale.path,
            pool=pool,
            pool_labels=self.settings.pool_label_names,
            node_id=node_id,
        )
        return CancelNode(cancel, scale)

    def _pre_warm(self, journal: Journal, arguments: Arguments) -> Deed:
        placeholder = self._terms(arguments["pool"]).placeholder
        if placeholder is None:
            return self._scale_up(journal, arguments)
        return self._warm(journal, arguments["pool"], placeholder, int(arguments["nodes"]))

    def _cool_down(self, journal: Journal, arguments: Arguments) -> Deed:
        done = Journal(self.store, journal.decision_id).end
        answer = done.answer if done else {}
        pool, nodes = arguments["pool"], int(arguments["nodes"])
        if answer.get("placeholder"):
            return self._warm(journal, pool, answer["placeholder"], -nodes)
        ours = set(answer.get("node_ids", []))
        return self._fewer(
            journal, pool, nodes, lambda node: meta(node)["name"] in ours, at_most=True
        )

    def _warm(self, journal: Journal, pool: str, path: str, nodes: int) -> Deed:
        scale = Scale(
            f"pool/{pool}",
            self.settings.request_seconds,
            api=self.api,
            path=path,
            by_nodes=nodes,
            proposed=self._proposed(journal).scale_target(pool),
        )
        tell = self._tell_scaled(journal, scale, f"{nodes:+d} placeholders")
        return Warm(scale, tell, self.settings.scale_seconds)

    def _scale(
        self, journal: Journal, pool: str, by_nodes: int, *, may_stay: bool = False
    ) -> Scale:
        path = self._terms(pool).scale or proposals.scaled_by(self.store, pool)
        if path is None:
            raise Refused(
                "no_lever",
                f"nothing says what {pool} is scaled by: give `scale` in the pools file",
            )
        return Scale(
            f"pool/{pool}",
            self.settings.request_seconds,
            api=self.api,
            path=f"/{path.strip('/')}",
            by_nodes=by_nodes,
            gpus_per_node=lambda: self._gpus_per_node(pool),
            proposed=self._proposed(journal).scale_target(pool),
            pool=pool,
            pool_labels=self.settings.pool_label_names,
            may_stay=may_stay,
        )

    def _gpus_per_node(self, pool: str) -> int:
        said = self._terms(pool).gpus_per_node or proposals.gpus_per_node(self.store, pool)
        return said or DEFAULT_GPUS_PER_NODE

    # -- nodes and jobs ------------------------------------------------------------

    def _quarantine(self, journal: Journal, arguments: Arguments) -> Deed:
        node_id = str(arguments["node_id"])
        told = self._tell(
            journal, node_path(node_id), "PilothouseQuarantined", "Cordoned, its jobs moved off"
        )
        return Quarantine(
            self.api,
            self.settings,
            self.gate,
            journal.decision_id,
            node_id,
            self._uid(journal, node_id),
            told,
        )

    def _return_node(self, journal: Journal, arguments: Arguments) -> Deed:
        node_id = str(arguments["node_id"])
        uncordon = Uncordon(
            f"node/{node_id}",
            self.settings.request_seconds,
            api=self.api,
            node_id=node_id,
            decision_id=journal.decision_id,
        )
        told = self._tell(journal, node_path(node_id), "PilothouseReturned", "In use again")
        return ReturnNode(uncordon, told)

    def _repair(self, journal: Journal, arguments: Arguments) -> Deed:
        node_id = str(arguments["node_id"])
        return Repair(
            self.api,
            self.settings,
            self.gate,
            journal.decision_id,
            node_id,
            self._uid(journal, node_id),
            self.folder,
            lambda path: self._tell(journal, path, "PilothouseRepaired", f"Repaired {node_id}"),
        )

    def _migrate(self, journal: Journal, arguments: Arguments) -> Deed:
        job_id, node_id = str(arguments["job_id"]), str(arguments["node_id"])
        known = self._proposed(journal).job(job_id)
        migration = Migration(
            self.api,
            self.settings,
            journal.decision_id,
            job_id,
            node_id,
            uid=known.uid if known else None,
            generation=known.generation if known else None,
        )
        told = self._tell(journal, job_path(job_id), "PilothouseMigrated", f"Moved off {node_id}")
        return MigrateJob(migration, told)

    def _rebalance(self, journal: Journal, arguments: Arguments) -> Deed:
        pool, node_ids = arguments["pool"], _listed(arguments["node_ids"])
        scale = self._scale(journal, pool, -len(node_ids), may_stay=True)
        identify = Identify(
            scale.target,
            self.settings.request_seconds,
            api=self.api,
            path=scale.path,
            pool=pool,
            pool_labels=self.settings.pool_label_names,
            nodes=len(node_ids),
            proposed=scale.proposed,
            node_ids=node_ids,
        )
        told = self._tell_scaled(journal, scale, f"Emptied and released {', '.join(node_ids)}")
        return Rebalance(
            self.api,
            self.settings,
            self.gate,
            journal.decision_id,
            identify,
            scale,
            told,
        )

    # -- what they share -----------------------------------------------------------

    def _terms(self, pool: str) -> PoolTerms:
        return self.settings.pools.get(pool) or PoolTerms.model_validate({})

    def _proposed(self, journal: Journal) -> proposals.Proposal:
        """What takes a decision back goes by what is there now, and a command that has begun by
        what its first step found."""
        if journal.kind == "undo" or journal.entries:
            return proposals.Proposal(self.store, None)
        return proposals.proposal(self.store, journal.decision_id)

    def _uid(self, journal: Journal, node_id: str) -> str | None:
        known = self._proposed(journal).node(node_id)
        return known.uid if known else None

    def _tell(self, journal: Journal, path: str, reason: str, message: str) -> Tell:
        return Tell(
            path,
            self.settings.request_seconds,
            api=self.api,
            clock=self.clock,
            path=path,
            reason=reason,
            message=message,
            decision_id=journal.decision_id,
        )

    def _tell_scaled(self, journal: Journal, scale: Scale, message: str) -> Tell:
        return self._tell(journal, scale.path, "PilothouseScaled", message)


def _listed(node_ids: Any) -> list[str]:
    """Node ids, given as a list or separated by commas."""
    names = node_ids.split(",") if isinstance(node_ids, str) else node_ids
    return list(dict.fromkeys(str(name).strip() for name in names if str(name).strip()))
