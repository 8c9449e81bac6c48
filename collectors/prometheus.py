"""GPUs by the exporters on their hosts: dcgm-exporter, the node agent, and kube-state-metrics.

A round asks every target once and stores what those that answered said. A target that fails is
named and stale: it has no rows of this round, and its last good ones stay. `docs/telemetry.md`
tells how exporters are connected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import ClassVar, Self

from cluster.api import Api
from cluster.errors import NotConfigured
from cluster.settings import ClusterSettings
from collectors.base import (
    Absent,
    Collector,
    CollectorSettings,
    InvalidSetting,
    Note,
    NotHere,
    Refused,
    Unreachable,
    Yielded,
    settings_from,
)
from collectors.prometheus_answers import Answers
from collectors.prometheus_cluster import Cluster
from collectors.prometheus_discovery import Discovery
from collectors.prometheus_failures import Failure
from collectors.prometheus_layout import Layout
from collectors.prometheus_rows import Heard, Known, Rows, Work, rows_of
from collectors.prometheus_scrape import Scraper
from collectors.prometheus_settings import ROUND_RATIO, PrometheusSettings
from collectors.prometheus_targets import Target, TargetsFile
from collectors.prometheus_watch import Watch
from warehouse.records import ClusterPod, GpuSample, GpuShare

PODS_READ_EVERY = timedelta(seconds=30)
NAMES_SHOWN = 3
KINDS_SHOWN = 6


class AllFailed(Unreachable):
    """No target gave an answer; the next round asks again, so that this one ends in time."""

    may_be_retried = False


def _no_pods() -> Iterable[ClusterPod]:
    return ()


class _Switch(CollectorSettings):
    """Whether the `kubernetes` collector is switched on, as that one's settings say it."""

    enabled: bool = True


class PrometheusCollector(Collector):
    """Asks exporters."""

    name: ClassVar[str] = "prometheus"
    settings_class: ClassVar[type[CollectorSettings]] = PrometheusSettings

    def __init__(
        self,
        settings: PrometheusSettings,
        *,
        discovery: Discovery | None = None,
        cluster: Cluster | None = None,
    ) -> None:
        """`cluster` reads kube-state-metrics; without one only whose pods are whose."""
        self._settings = settings
        self._file = TargetsFile(settings.targets_file) if settings.targets_file else None
        self._discovery = discovery
        self._cluster = cluster or Cluster(stores_rows=False)
        self._pods: Callable[[], Iterable[ClusterPod]] = _no_pods
        self._scraper = Scraper(settings.access())
        self._watch = Watch()
        self._layouts: dict[str, Layout] = {}
        self._work: dict[str, Work] = {}
        self._work_read_at: datetime | None = None
        self._answered_at: dict[str, datetime] = {}
        self._count = 0

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self | Absent:
        """As the environment sets it; absent where no targets are set."""
        settings = settings_from(environ, cls.name, PrometheusSettings)
        if not settings.enabled:
            return Absent("switched off by PILOTHOUSE_PROMETHEUS_ENABLED")
        if not (settings.targets_file or settings.sought):
            return Absent(
                "no targets are set: set PILOTHOUSE_PROMETHEUS_TARGETS_FILE to a file of them, or "
                "PILOTHOUSE_PROMETHEUS_KUBERNETES_SELECTOR to the labels of the exporters' pods; "
                "see docs/telemetry.md"
            )
        reach = settings_from(environ, "kubernetes", ClusterSettings)
        is_read = reach.is_given and settings_from(environ, "kubernetes", _Switch).enabled
        stores = settings.cluster_rows == "on" or (settings.cluster_rows == "auto" and not is_read)
        return cls(
            settings,
            discovery=_discovery(settings, reach) if settings.sought else None,
            cluster=Cluster(stores_rows=stores, pool_labels=reach.pool_label_names),
        )

    @property
    def every_seconds(self) -> float:
        """Seconds from one round to the next."""
        return self._settings.every_seconds

    @property
    def time_limit_seconds(self) -> float:
        """Seconds after which a round is given up."""
        return min(self._settings.time_limit_seconds, self._settings.every_seconds)

    @property
    def stores_cluster_rows(self) -> bool:
        """Whether what kube-state-metrics tells becomes rows."""
        return self._cluster.stores_rows

    def remember(self, pods: Callable[[], Iterable[ClusterPod]]) -> None:
        """Learn whose pods are whose from the rows that the `kubernetes` collector stored."""
        self._pods = pods

    def close(self) -> None:
        """Close the connections."""
        self._scraper.close()

    def collect(self, now: datetime) -> Iterator[Yielded]:
        """A round: a `GpuSample` a GPU and MIG instance, a `GpuShare` a holder, events.

        Raises:
            CollectorError: no target answered; what was stored before stays.
        """
        targets, remarks = self._targets(now)
        self._count = len(targets)
        heard, failures = self._asked(targets, now)
        self._forget(targets)
        self._answered_at |= {one.target.url: now for one in heard}
        if not heard:
            raise self._all_failed(failures)
        rows = rows_of(heard, self._known(now), now)
        if rows.samples.height:
            yield GpuSample, rows.samples
        if rows.shares.height:
            yield GpuShare, rows.shares
        yield from self._watch.happened(rows, heard, now)
        yield from self._cluster.rows(now)
        remarks += [*self._failed(failures), *_odd(rows), *self._watch.remarks]
        yield from map(Note, remarks)

    def _asked(
        self, targets: Mapping[str, Target], now: datetime
    ) -> tuple[list[Heard], dict[str, Failure]]:
        """The answers, in the order of the targets, and the failures by URL."""
        answers = Answers(targets, self._layouts, self._cluster, now)
        failures = self._scraper.round(
            targets,
            self._settings.headers(),
            self.time_limit_seconds * ROUND_RATIO,
            answers.on_answer,
        )
        heard = answers.heard()
        return heard, failures | answers.unread

    # -- targets -------------------------------------------------------------------

    def _targets(self, now: datetime) -> tuple[dict[str, Target], list[str]]:
        """The targets of this shard by URL, and why a list of them may be old."""
        found: list[Target] = []
        remarks = []
        for listed, why in self._lists(now):
            found += listed
            if why is not None:
                remarks.append(f"the list of targets may be old: {why}")
        part = self._settings.part
        targets = {each.url: each for each in reversed(found) if part.has(each)}
        if targets:
            return dict(reversed(targets.items())), remarks
        if remarks:
            raise Refused(f"no target is known; {'; '.join(remarks)}")
        where = f" that are shard {self._settings.shard}'s" if found else ""
        raise NotHere(f"the lists hold no targets{where}: there is nothing to ask")

    def _lists(self, now: datetime) -> Iterator[tuple[list[Target], str | None]]:
        if self._file is not None:
            yield self._file.targets()
        if self._discovery is not None:
            yield self._discovery.targets(now)

    def _forget(self, targets: Mapping[str, Target]) -> None:
        if self._layouts.keys() - targets.keys():
            self._layouts = {url: each for url, each in self._layouts.items() if url in targets}
            self._watch.forget(set(targets))
            self._cluster.forget(targets)
        self._answered_at = {url: at for url, at in self._answered_at.items() if url in targets}

    # -- what is known besides --------------------------------------------------------

    def _known(self, now: datetime) -> Known:
        if self._work_read_at is None or now - self._work_read_at >= PODS_READ_EVERY:
            self._work = {pod.pod_id: Work(pod.job_id, pod.tenant) for pod in self._pods()}
            self._work_read_at = now
        return Known(self._cluster.nodes, {**self._work, **self._cluster.work})

    # -- words ---------------------------------------------------------------------

    def _all_failed(self, failures: Mapping[str, Failure]) -> Refused | AllFailed:
        (words,) = self._failed(failures)
        if all(failure.is_refusal for failure in failures.values()):
            return Refused(f"{words}. Check the targets' addresses and the secrets they want")
        return AllFailed(f"{words}. The next round asks again")

    def _failed(self, failures: Mapping[str, Failure]) -> Iterator[str]:
        """The targets that failed, those that fail alike together."""
        if not failures:
            return
        alike: dict[str, list[str]] = {}
        for url, failure in failures.items():
            alike.setdefault(failure.words, []).append(url)
        kinds = sorted(alike.items(), key=lambda kind: -len(kind[1]))
        told = [f"{len(urls)} {words} ({_named(urls)})" for words, urls in kinds[:KINDS_SHOWN]]
        if len(kinds) > KINDS_SHOWN:
            told.append(f"{sum(len(urls) for _, urls in kinds[KINDS_SHOWN:])} for other reasons")
        since = min((at for url, at in self._answered_at.items() if url in failures), default=None)
        stale = f"; the longest silent since {since:%H:%M:%S} UTC" if since else ""
        yield (
            f"{len(failures)} of {self._count} targets failed and have no newer rows: "
            f"{', '.join(told)}{stale}"
        )


def _discovery(settings: PrometheusSettings, reach: ClusterSettings) -> Discovery:
    if not reach.is_given:
        raise InvalidSetting(
            "PILOTHOUSE_PROMETHEUS_KUBERNETES_SELECTOR wants a cluster: set "
            "PILOTHOUSE_KUBERNETES_KUBECONFIG, or PILOTHOUSE_KUBERNETES_IN_CLUSTER to true"
        )
    try:
        return Discovery(Api.connect(reach.kubeconfig, reach.context), reach, settings.sought)
    except NotConfigured as error:
        raise InvalidSetting(f"the cluster of PILOTHOUSE_KUBERNETES_…: {error}") from error


def _odd(rows: Rows) -> Iterator[str]:
    """What was left out, and GPUs that two targets serve."""
    for words, count in rows.oddities.items():
        yield f"left out: {count} {words}"
    served: Counter[tuple[str, str]] = +rows.twice
    if served:
        (taken, other), _ = served.most_common(1)[0]
        yield (
            f"{served.total()} GPUs are served by two targets and taken from the first, for "
            f"example from {_named([taken])} and not {_named([other])}"
        )


def _named(urls: list[str]) -> str:
    names = [url.split("/")[2] for url in urls[:NAMES_SHOWN]]
    return ", ".join(names) + (", …" if len(urls) > NAMES_SHOWN else "")
