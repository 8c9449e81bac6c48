"""Who steers: the champion of the rows as a policy that can be asked, and the challenger beside it.

The rule steers where nobody was ever made champion, where the champion's weights are gone or are
not those that were promoted, and in pools whose twin no longer matches reality. A challenger that
has passed every other gate steers a few pools, its canary.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from engine.learning.gates import Bar
from engine.policies import rule
from engine.policies.learned import Learned, learned
from engine.policies.network import WeightsError
from engine.policies.registry import with_knobs
from warehouse import controls, policies
from warehouse.records import PolicyAlarm, PolicyVersion
from warehouse.shadow import PolicyRole
from warehouse.store import Store

PROGRAM = Path(__file__).resolve().parents[1]
"""Where the console's own files lie."""
BY_THE_RULE = "rule"
"""Who takes a policy out of service where no person does."""
CANARY = "canary"
"""The gate that is passed by steering a few pools."""

_DRIFTING = """
    SELECT pool, detail FROM (
        SELECT * FROM twin_checks
        QUALIFY row_number() OVER (PARTITION BY pool ORDER BY ends_at DESC) = 1
    ) WHERE NOT is_valid
"""
_ALARMED = "SELECT count(*) FROM policy_alarms WHERE policy_id = $policy_id"
_POOLS = "SELECT DISTINCT pool FROM pools ORDER BY pool"


@dataclass(frozen=True)
class Roster:
    """Who steers and who runs beside it, ready to be asked."""

    champion_id: str = policies.RULE
    champion: Learned | None = None
    """None where it is the rule"""
    challenger_id: str | None = None
    challenger: Learned | None = None
    canary_pools: frozenset[str] = frozenset()
    """where the challenger steers"""
    drifting_pools: dict[str, str] = field(default_factory=dict)
    """where the rule steers because the twin can't be trusted, and in what words"""

    def policy_id_of(self, pool: str) -> str:
        """Who steers a pool."""
        if pool in self.drifting_pools:
            return policies.RULE
        if pool in self.canary_pools and self.challenger_id is not None:
            return self.challenger_id
        return self.champion_id

    def with_rule(self, settings: rule.RuleSettings | None) -> Roster:
        """The same around a rule with other knobs."""
        if not settings:
            return self
        other = with_knobs(rule.NAME, rule.tuned_settings(settings))
        return replace(
            self,
            champion=self.champion and replace(self.champion, rule=other),
            challenger=self.challenger and replace(self.challenger, rule=other),
        )

    def everyone(self) -> dict[str, tuple[PolicyRole, Learned]]:
        """Role and policy of each learned policy by its id."""
        found: dict[str, tuple[PolicyRole, Learned]] = {}
        if self.champion is not None:
            found[self.champion_id] = ("champion", self.champion)
        if self.challenger is not None and self.challenger_id is not None:
            found[self.challenger_id] = ("challenger", self.challenger)
        return found


def roster(store: Store, home: Path | None, now: datetime) -> Roster:
    """Who steers now; weights that can't be used are put on record and their policy withdrawn."""
    dial = controls.dial(store)
    champion_id, champion = _champion(store, home, dial, now)
    rival = policies.challenger(store)
    challenger = _loaded_or_none(rival, home, dial) if rival else None
    if rival is None or challenger is None:
        return Roster(champion_id, champion, drifting_pools=_drifting(store))
    return Roster(
        champion_id,
        champion,
        rival.policy_id,
        challenger,
        canary_pools(store, rival),
        _drifting(store),
    )


def _champion(
    store: Store, home: Path | None, dial: str, now: datetime
) -> tuple[str, Learned | None]:
    """The champion that can be had; each that can't is rolled back, at last to the rule."""
    while True:
        steering = policies.steering(store)
        if steering.policy_id == policies.RULE:
            return policies.RULE, None
        try:
            version = policies.policy(store, steering.policy_id)
            return version.policy_id, loaded(version, home, dial)
        except (WeightsError, policies.NoSuchPolicy) as error:
            withdraw(store, _weights_alarm(steering.policy_id, error, now), now)


def _weights_alarm(policy_id: str, error: Exception, now: datetime) -> PolicyAlarm:
    return PolicyAlarm(
        policy_id=policy_id,
        trigger="weights",
        value=0.0,
        threshold=0.0,
        detail=f"It can't be loaded: {error}",
        raised_at=now,
    )


def withdraw(store: Store, alarm: PolicyAlarm, now: datetime) -> None:
    """Put an alarm on record, and the policy before, or the rule, back where its policy steers."""
    with store.transaction():
        before = policies.steering(store)
        after = policies.roll_back(
            store,
            by=BY_THE_RULE,
            reason=f"{alarm.trigger.replace('_', ' ')}: {alarm.detail}",
            now=now,
            policy_id=alarm.policy_id,
            via="rule",
        )
        did = f"{after.policy_id} steers again" if after != before else "nothing was changed"
        store.append([replace(alarm, detail=f"{alarm.detail} {did}.")])


def _drifting(store: Store) -> dict[str, str]:
    return dict(store.query(_DRIFTING).iter_rows())


# -- the canary ------------------------------------------------------------------------


def canary_pools(store: Store, version: PolicyVersion) -> frozenset[str]:
    """Where a challenger steers: a few pools once it has passed all else, none after an alarm."""
    if not is_ready_for_canary(version):
        return frozenset()
    if store.query(_ALARMED, policy_id=version.policy_id).item():
        return frozenset()
    return chosen_for_canary(version.policy_id, store.query(_POOLS)["pool"].to_list())


def canary_since(store: Store, policy_id: str) -> datetime | None:
    """Since when a challenger has steered its canary; None where it does not."""
    sql = "SELECT * FROM policies WHERE policy_id = $policy_id ORDER BY created_at, rowid"
    versions = store.rows(PolicyVersion, sql, policy_id=policy_id)
    return next((one.created_at for one in versions if is_ready_for_canary(one)), None)


def is_ready_for_canary(version: PolicyVersion) -> bool:
    """Whether every gate but the canary is passed."""
    others = [gate["passed"] for gate in version.gates if gate["name"] != CANARY]
    return bool(others) and all(others)


def chosen_for_canary(policy_id: str, pools: Collection[str]) -> frozenset[str]:
    """The smallest share of the pools that the gate takes, drawn by the policy's name."""
    count = math.ceil(Bar().least_canary_ratio * len(pools))
    order = sorted(pools, key=lambda pool: hashlib.sha256(f"{policy_id}/{pool}".encode()).digest())
    return frozenset(order[:count])


# -- weights ---------------------------------------------------------------------------


def loaded(version: PolicyVersion, home: Path | None, dial: str) -> Learned:
    """A version's policy; its weights are read again only where the file has changed.

    Raises:
        WeightsError: the file is missing, or is not the one of this version.
    """
    path = weights_path(version, home)
    try:
        stat = path.stat()
    except OSError as error:
        raise WeightsError(
            f"the weights of {version.policy_id}, {path}, cannot be read ({error.strerror}). "
            "Restore the file, or train anew with `python app.py train`."
        ) from error
    made = _read(path, version.weights_sha256, (stat.st_mtime_ns, stat.st_size))
    return replace(made, name=version.policy_id, dial=dial)


@lru_cache(maxsize=8)
def _read(path: Path, sha256: str | None, changed: tuple[int, int]) -> Learned:
    return learned(path, sha256=sha256)


def _loaded_or_none(version: PolicyVersion, home: Path | None, dial: str) -> Learned | None:
    try:
        return loaded(version, home, dial)
    except WeightsError:
        return None  # it steers nothing: without weights it is only not asked


def weights_path(version: PolicyVersion, home: Path | None) -> Path:
    """Where a version's weights are: under the home, or in the program."""
    if version.weights_file is None:
        raise WeightsError(f"{version.policy_id} has no weights: choose another policy version")
    own = home / version.weights_file if home is not None else None
    return own if own is not None and own.exists() else PROGRAM / version.weights_file
