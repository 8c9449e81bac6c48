"""Of several consoles one acts, by a Lease of the cluster: `lease`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from engine.kubernetes.lease import KubernetesLease
from engine.leading import Leader
from tests.engine.kubernetes.cluster import ClusterClock
from tests.stand_in import StandIn

PATH = "/apis/coordination.k8s.io/v1/namespaces/default/leases/engine"
SECONDS = 15.0


@dataclass
class Consoles:
    """Several consoles on one cluster, whose monotonic clock is turned by hand."""

    stand_in: StandIn
    now: float = 0.0
    made: dict[str, KubernetesLease] = field(default_factory=dict)

    def __call__(self, name: str) -> KubernetesLease:
        if name not in self.made:
            self.made[name] = KubernetesLease(
                self.stand_in.api(),
                "default",
                "engine",
                name,
                SECONDS,
                ClusterClock(self.stand_in),
                lambda: self.now,
            )
        return self.made[name]

    def spec(self) -> dict[str, Any]:
        return self.stand_in.get(PATH)["spec"]


@pytest.fixture
def consoles(stand_in: StandIn) -> Consoles:
    return Consoles(stand_in)


def test_the_first_takes_it_and_the_others_watch(consoles: Consoles) -> None:
    leader: Leader = consoles("ada")
    assert leader.leads()
    assert not consoles("bob").leads()
    assert consoles("bob").holder() == "ada"
    assert consoles.spec()["leaseTransitions"] == 1
    assert consoles.spec()["leaseDurationSeconds"] == 15


def test_it_is_renewed_with_a_changing_time_even_if_the_clock_stands(consoles: Consoles) -> None:
    assert consoles("ada").leads()
    before = consoles.stand_in.get(PATH)
    consoles.now += 6
    assert consoles("ada").leads()
    after = consoles.stand_in.get(PATH)
    assert after["spec"]["renewTime"] > before["spec"]["renewTime"]
    assert after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]
    assert after["spec"]["leaseTransitions"] == 1


def test_it_is_not_asked_about_at_every_step(consoles: Consoles) -> None:
    assert consoles("ada").leads()
    count = len(consoles.stand_in.requests)
    assert all(consoles("ada").leads() for _ in range(50))
    assert len(consoles.stand_in.requests) == count


def test_one_that_falls_silent_is_taken_over_from_but_not_before_its_time(
    consoles: Consoles,
) -> None:
    assert consoles("ada").leads()
    assert not consoles("bob").leads()
    consoles.now += 14
    assert not consoles("bob").leads()
    consoles.now += 2
    assert consoles("bob").leads()
    assert consoles.spec()["holderIdentity"] == "bob"
    assert consoles.spec()["leaseTransitions"] == 2
    assert not consoles("ada").leads()


def test_a_clock_far_off_elsewhere_changes_nothing(consoles: Consoles) -> None:
    assert consoles("ada").leads()
    assert not consoles("bob").leads()
    lease = consoles.stand_in.get(PATH)
    lease["spec"]["renewTime"] = "2001-01-01T00:00:00.000000Z"
    consoles.stand_in.put(PATH, lease)
    consoles.now += 14
    assert not consoles("bob").leads()  # it was seen to change: it counts from then on
    consoles.now += 14
    assert not consoles("bob").leads()
    consoles.now += 2
    assert consoles("bob").leads()


def test_without_the_api_server_the_holder_stops_before_another_may_begin(
    consoles: Consoles,
) -> None:
    assert consoles("ada").leads()
    consoles.stand_in.faults.down()
    consoles.now += 9
    assert consoles("ada").leads()
    consoles.now += 2
    assert not consoles("ada").leads()
    assert not consoles("bob").leads()
    consoles.stand_in.faults.up()
    assert consoles("ada").leads()


def test_of_two_who_take_it_at_once_one_has_it(consoles: Consoles) -> None:
    ada, bob = consoles("ada"), consoles("bob")
    assert ada.leads()
    ada.resign()
    consoles.stand_in.faults.storm(409, 1, match="^PUT")
    assert [ada.leads(), bob.leads()] == [False, True]


def test_who_resigns_lets_another_begin_at_once(consoles: Consoles) -> None:
    assert consoles("ada").leads()
    consoles("ada").resign()
    assert consoles("bob").holder() is None
    assert consoles("bob").leads()
    assert not consoles("ada").leads()


def test_one_that_was_pushed_out_knows_at_its_next_renewal(consoles: Consoles) -> None:
    assert consoles("ada").leads()
    lease = consoles.stand_in.get(PATH)
    lease["spec"]["holderIdentity"] = "eve"
    consoles.stand_in.put(PATH, lease)
    consoles.now += 6
    assert not consoles("ada").leads()
    assert consoles("ada").holder() == "eve"


def test_where_it_can_not_be_had_the_reason_is_kept(consoles: Consoles) -> None:
    consoles.stand_in.faults.forbid("create", "leases")
    assert not consoles("ada").leads()
    assert "leases" in (consoles("ada").trouble or "")
    consoles.stand_in.faults.allow("create", "leases")
    assert consoles("ada").leads()
    assert consoles("ada").trouble is None
