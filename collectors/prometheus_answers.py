"""The answers of one round, read as they come."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from collectors.prometheus_cluster import Cluster
from collectors.prometheus_failures import Failure
from collectors.prometheus_layout import Layout, reading_of
from collectors.prometheus_rows import Heard
from collectors.prometheus_scrape import Got
from collectors.prometheus_targets import Target
from collectors.prometheus_text import NotExposition, text_of

LARGE_BYTES = 2**20
"""An answer as large as this is read after the round, so that the others needn't wait."""
SILENT = "tells of no GPU and no cluster: is it an exporter?"


class Answers:
    """What the targets answered in one round."""

    def __init__(
        self,
        targets: Mapping[str, Target],
        layouts: dict[str, Layout],
        cluster: Cluster,
        now: datetime,
    ) -> None:
        """`layouts` are those of the round before, by URL, and become this one's."""
        self._targets = targets
        self._layouts = layouts
        self._cluster = cluster
        self._now_seconds = now.timestamp()
        self._heard: dict[str, Heard] = {}
        self._large: list[Got] = []
        self.unread: dict[str, Failure] = {}
        """Targets that answered what can't be read"""

    def on_answer(self, got: Got) -> None:
        """Read an answer now, or later where that takes long."""
        if len(got.body) >= LARGE_BYTES:
            self._large.append(got)
        else:
            self._read(got)

    def heard(self) -> list[Heard]:
        """All answers, in the order of the targets."""
        for got in self._large:
            self._read(got)
        return [self._heard[url] for url in self._targets if url in self._heard]

    def _read(self, got: Got) -> None:
        try:
            text, is_open = text_of(got.body, got.content_type)
            before = self._layouts.get(got.url)
            reading = reading_of(text, is_open, before, self._now_seconds)
            if reading.layout.tells_cluster:
                self._cluster.read(got.url, text, is_open)
        except NotExposition as error:
            self.unread[got.url] = Failure(str(error))
            return
        if not (reading.layout.gpus or reading.layout.tells_cluster):
            self.unread[got.url] = Failure(SILENT)
            return
        self._layouts[got.url] = reading.layout
        self._heard[got.url] = Heard(self._targets[got.url], reading, got.after_seconds)
