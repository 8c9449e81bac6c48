"""A cluster's side of the console: the wire, who leads, the hands, and what is looked at now and
then.

What may be done there is asked at the start and every ten minutes, so that a right that was given
or taken is known without a restart. Once this console leads, what bears its mark and no decision
holds any more is given back.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from cluster.api import Api
from cluster.errors import ClusterError
from engine.gate import Gate
from engine.kubernetes import rights
from engine.kubernetes.hands import KubernetesHands
from engine.kubernetes.lease import KubernetesLease
from engine.kubernetes.reconcile import reconcile
from engine.kubernetes.settings import HandsSettings
from engine.leading import LEASE_SECONDS, own_name
from warehouse.clock import Clock
from warehouse.records import ListPrice
from warehouse.store import Store

LEASE_NAME = "pilothouse-engine"
RIGHTS_EVERY = timedelta(minutes=10)
_PRICED = "SELECT DISTINCT pool FROM price_list"


class ClusterSide:
    """What a console has of the cluster that it steers."""

    def __init__(self, store: Store, clock: Clock, settings: HandsSettings, home: Path) -> None:
        """Nothing is asked of the cluster yet.

        Raises:
            NotConfigured: no cluster is given, or its kubeconfig or pools file can't be read.
        """
        self._store = store
        self._settings = settings
        self._api = Api.connect(settings.kubeconfig, settings.context)
        self._looked_at: datetime | None = None
        self._is_reconciled = False
        self.leader = KubernetesLease(
            self._api, settings.namespace, LEASE_NAME, own_name(), LEASE_SECONDS, clock
        )
        gate = Gate(store, self.leader)
        folder = home / "repairs"
        self.hands = KubernetesHands(store, self._api, clock, settings, gate, folder)

    def begin(self, now: datetime) -> None:
        """Put the prices of the pools file in force where no price is yet.

        Raises:
            NotConfigured: the pools file can't be read.
        """
        priced = set(self._store.query(_PRICED)["pool"])
        self._store.append(
            ListPrice(
                pool=pool,
                price_usd_per_gpu_hour=terms.price_usd_per_gpu_hour,
                set_by="initial",
                in_force_from_at=now,
            )
            for pool, terms in self._settings.pools.items()
            if terms.price_usd_per_gpu_hour is not None and pool not in priced
        )

    def look(self, now: datetime) -> None:
        """Ask for the rights where that is due, and give back what nobody holds.

        Raises:
            ClusterError: the cluster, or the Lease, can't be asked; the next look asks again.
        """
        if self._looked_at is None or now >= self._looked_at + RIGHTS_EVERY:
            self._store.append(rights.rows(self._api, self._settings, now))
            self._looked_at = now
        if not self._is_reconciled and self.leader.leads():
            reconcile(self._store, self._api, now)
            self._is_reconciled = True
        if self.leader.trouble:
            raise ClusterError(f"who leads can't be told: {self.leader.trouble}")

    def close(self) -> None:
        """Let go of the lease, so that another console need not wait until it has run out."""
        self.leader.resign()
        self._api.close()
