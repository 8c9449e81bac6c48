"""A Kubernetes cluster: its nodes, pods, Jobs, Events and budgets, and what it is scaled by.

Each kind is listed once, page by page, and then watched on a short while in every pass. When the
API server is away nothing is forgotten: the next pass watches on. `docs/kubernetes.md` tells how a
cluster is connected and what is read of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Self

from pydantic import Field, ValidationInfo, field_validator

from cluster import errors
from cluster.api import Api
from cluster.settings import ClusterSettings
from collectors import base
from collectors.base import Absent, Collector, CollectorSettings, Note, Yielded, settings_from
from collectors.kubernetes_cache import Follower, Kind
from collectors.kubernetes_kinds import CORE, core_kinds, kinds_besides
from collectors.kubernetes_objects import Nonsense
from collectors.kubernetes_rows import packed
from collectors.kubernetes_scaling import scale_targets
from collectors.kubernetes_sight import Sight
from collectors.kubernetes_telling import Teller
from warehouse.last_told import LastTold
from warehouse.records import Pool, ScaleTarget

KINDS_ASKED_AGAIN = timedelta(minutes=10)
"""After so long it is asked again whether Kueue, Karpenter and Cluster API are there."""
PASS_LIMITS = ("every_seconds", "time_limit_seconds")
"""The settings that bound a pass."""
MOST_AT_ONCE = 8
"""Kinds that are followed side by side."""
ODDITIES_SHOWN = 3


class KubernetesSettings(CollectorSettings, ClusterSettings):
    """How a Kubernetes cluster is reached and read."""

    enabled: bool = True
    """Whether it is read at all."""
    every_seconds: float = Field(default=15.0, ge=2.0)
    """Seconds from one pass to the next."""
    time_limit_seconds: float = Field(default=15.0, gt=0.0)
    """Seconds after which a pass is given up; what it read is kept for the next."""
    watch_seconds: float = Field(default=3.0, ge=1.0, le=30.0, validate_default=True)
    """Seconds for which each kind is watched in a pass; from 3 on the server ends each watch with
    a bookmark, so that kinds which seldom change are not listed anew now and then."""
    page_size: int = Field(default=500, ge=1, le=5000)
    """Objects in a page of a list."""

    @field_validator("watch_seconds")
    @classmethod
    def _leaves_time(cls, seconds: float, others: ValidationInfo) -> float:
        longest = min(others.data.get(name, seconds + 1) for name in PASS_LIMITS)
        if seconds >= longest:
            raise ValueError(
                f"a watch of {seconds:g} s leaves no time in a pass of {longest:g} s: make it "
                "shorter, or EVERY_SECONDS and TIME_LIMIT_SECONDS longer"
            )
        return seconds


@dataclass(frozen=True)
class Hands:
    """What the collector is given by whoever puts the console together."""

    price_of: Callable[[str], float | None] = lambda pool: None
    """A pool's newest price in the price list; the pools file's holds without it."""
    market_of: Callable[[Pool], float | None] = lambda pool: None
    """The market's price of a pool's GPU in USD per GPU-hour, where anybody knows it."""
    seconds: Callable[[], float] = time.monotonic
    """A clock for the time a pass takes."""


class KubernetesCollector(Collector):
    """Reads a cluster through its API server."""

    name: ClassVar[str] = "kubernetes"
    settings_class: ClassVar[type[CollectorSettings]] = KubernetesSettings

    def __init__(self, settings: KubernetesSettings, api: Api, hands: Hands = Hands()) -> None:
        self._settings = settings
        self._api = api
        self._hands = hands
        self._teller = Teller(
            settings,
            lambda pool: self._hands.price_of(pool),
            lambda pool: self._hands.market_of(pool),
        )
        self._followers = {kind.name: self._follower(kind) for kind in core_kinds(settings)}
        self._besides: set[str] = set()
        self._kinds_asked_at: datetime | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self | Absent:
        """As the environment sets it; absent where no cluster is given."""
        settings = settings_from(environ, cls.name, KubernetesSettings)
        if not settings.enabled:
            return Absent("switched off by PILOTHOUSE_KUBERNETES_ENABLED")
        if not settings.is_given:
            return Absent(
                "no cluster is given: set PILOTHOUSE_KUBERNETES_KUBECONFIG to a kubeconfig, or "
                "PILOTHOUSE_KUBERNETES_IN_CLUSTER to true where the console runs in a pod"
            )
        try:
            _ = settings.pools
            api = Api.connect(settings.kubeconfig, settings.context)
        except errors.NotConfigured as error:
            raise base.InvalidSetting(f"the cluster of PILOTHOUSE_KUBERNETES_…: {error}") from error
        return cls(settings, api)

    @property
    def settings(self) -> KubernetesSettings:
        """How it is set."""
        return self._settings

    @property
    def every_seconds(self) -> float:
        """Seconds from one pass to the next."""
        return self._settings.every_seconds

    @property
    def time_limit_seconds(self) -> float:
        """Seconds after which a pass is given up."""
        return min(self._settings.time_limit_seconds, self._settings.every_seconds)

    def remember(self, last: LastTold, hands: Hands | None = None) -> None:
        """Take up where an earlier console left off, before the first pass.

        Without it all that is there is told as new, and what went meanwhile stays in the rows.
        """
        self._hands = hands or self._hands
        self._teller.remember(last)

    def collect(self, now: datetime) -> Iterator[Yielded]:
        """A pass: what changed in the cluster, and the fleet as it is.

        Raises:
            CollectorError: what was read so far is kept, and told by the next pass that succeeds.
        """
        began_seconds = self._hands.seconds()
        try:
            self._look_for_kinds(now)
            blind = self._follow()
            scaling = list(scale_targets(self._api, self._settings.pools, now))
        except errors.ClusterError as error:
            raise _as_collector_error(error) from error
        except Nonsense as error:
            raise base.Malformed("the API server", "answer", str(error)) from error
        if self._hands.seconds() - began_seconds > self.time_limit_seconds:
            raise base.Unreachable(
                "the API server took longer than PILOTHOUSE_KUBERNETES_TIME_LIMIT_SECONDS: what "
                "was read is kept for the next pass"
            )
        targets = tuple(each for each in scaling if isinstance(each, ScaleTarget))
        yield from packed(self._teller.rows(self._sight(targets, frozenset(blind), now)))
        yield from (each for each in scaling if isinstance(each, Note))
        yield from self._remarks(blind)

    # -- how -----------------------------------------------------------------------

    def _follower(self, kind: Kind) -> Follower:
        return Follower(kind, self._api, self._settings.page_size)

    def _look_for_kinds(self, now: datetime) -> None:
        """Ask now and then which kinds the cluster has besides those of every cluster."""
        asked_at = self._kinds_asked_at
        if asked_at is not None and now - asked_at < KINDS_ASKED_AGAIN:
            return
        found = {kind.name: kind for kind in kinds_besides(self._api, self._settings)}
        for name, kind in found.items():
            self._followers.setdefault(name, self._follower(kind)).move(kind)
        for name in self._besides - found.keys():
            self._followers[name].empty()
        self._besides = set(found)
        self._kinds_asked_at = now

    def _follow(self) -> dict[str, str]:
        """Follow every kind that is there, side by side; the kinds that may not be read, and what
        the server says to that."""
        names = [*CORE, *sorted(self._besides)]
        with ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="kubernetes") as threads:
            said = dict(zip(names, threads.map(self._followed, names), strict=True))
        blind = {name: str(e) for name, e in said.items() if isinstance(e, errors.Forbidden)}
        failures = [e for name, e in said.items() if e is not None and name not in blind]
        if failures:
            raise min(failures, key=_rank)
        if set(CORE) <= blind.keys():
            raise base.Refused(
                "the console's account may read nothing in the cluster: bind it to the roles in "
                "deploy/kubernetes, see docs/kubernetes.md"
            )
        return blind

    def _followed(self, name: str) -> errors.ClusterError | None:
        try:
            self._followers[name].follow(self._settings.watch_seconds)
        except errors.NotFound as error:
            if name in CORE:
                return error
            self._kinds_asked_at = None  # it was taken away: the next pass asks what there is
        except errors.ClusterError as error:
            return error
        return None

    def _sight(
        self, targets: tuple[ScaleTarget, ...], blind: frozenset[str], now: datetime
    ) -> Sight:
        return Sight(
            {name: each.objects for name, each in self._followers.items() if each.is_complete},
            {name: each.take_changes() for name, each in self._followers.items()},
            targets,
            blind,
            now,
        )

    def _remarks(self, blind: Mapping[str, str]) -> Iterator[Note]:
        for name in blind:
            yield Note(
                f"{name} are left out: the console's account may not list and watch them; bind "
                "it to the roles in deploy/kubernetes"
            )
        for name, follower in self._followers.items():
            if odd := follower.oddities:
                shown = ", ".join(f"{k} ({odd[k]})" for k in sorted(odd)[:ODDITIES_SHOWN])
                yield Note(f"{len(odd)} of the {name} can't be read and are left out: {shown}")


_RANKS = (
    errors.Unauthorised,
    errors.Unreachable,
    errors.TooManyRequests,
    errors.Unavailable,
    errors.ClusterError,
)


def _rank(error: errors.ClusterError) -> int:
    """The most telling of several errors first."""
    return next(n for n, kind in enumerate(_RANKS) if isinstance(error, kind))


def _as_collector_error(error: errors.ClusterError) -> base.CollectorError:
    if isinstance(error, errors.Unauthorised):
        return base.Refused(
            f"the API server does not know the console's credentials ({error}): give "
            "PILOTHOUSE_KUBERNETES_KUBECONFIG a kubeconfig whose credentials hold"
        )
    busy = isinstance(error, (errors.TooManyRequests, errors.Unavailable))
    if isinstance(error, errors.TooManyRequests) or (busy and error.retry_after_seconds):
        return base.RateLimited(
            f"the API server is busy: {error}. What was read is kept", error.retry_after_seconds
        )
    if isinstance(error, (errors.Unreachable, errors.Unavailable, errors.Expired)):
        return base.Unreachable(
            f"{error}. What was read is kept, and the next pass goes on from there"
        )
    return base.Refused(f"the API server can't be read: {error}. See docs/kubernetes.md")
