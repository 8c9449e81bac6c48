"""The hands on Kubernetes: commands in, answers out, each step on record.

A command's id is its decision's, `<id>:undo`, or `<id>:undo:<verb>:<node>`; its rows in
`execution_steps` name it, and whatever console asks next goes on from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cluster.api import Api
from engine.hands import CommandRefused
from engine.kubernetes.deeds import Deeds
from engine.kubernetes.journal import Journal
from engine.kubernetes.runner import Runner
from engine.kubernetes.settings import HandsSettings
from engine.kubernetes.steps import Refused
from warehouse.clock import Clock
from warehouse.store import Store


class KubernetesHands:
    """Carries commands out on a cluster."""

    def __init__(
        self,
        store: Store,
        api: Api,
        clock: Clock,
        settings: HandsSettings,
        gate: Callable[[], str | None] = lambda: None,
        folder: Path | None = None,
    ) -> None:
        """`gate` says why nothing may be done just now, or None; it is asked between any two
        steps. `folder` is where the ends of repair commands are written down."""
        self._store = store
        self._clock = clock
        self._gate = gate
        more = {} if folder is None else {"folder": folder}
        self._deeds = Deeds(store, api, clock, settings, gate, **more)

    def perform(
        self, command_id: str, command: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Take as many steps of a command as can be had without waiting.

        Raises:
            CommandRefused, CommandStale, CommandUnderWay, CommandFailed: see `engine/hands.py`.
            NotConfigured: the pools file can't be read.
        """
        journal = Journal(self._store, command_id)
        try:
            deed = self._deeds.of(journal, command, arguments)
        except Refused as error:
            raise CommandRefused(f"{error.end}: {error}") from error
        return Runner(journal, deed, self._clock, self._gate).run()

    def has_begun(self, command_id: str) -> bool:
        """Whether steps of it are on record and it has not succeeded: asked again, it goes on, or
        says again how it failed."""
        journal = Journal(self._store, command_id)
        return bool(journal.entries) and self.answer_to(command_id) is None

    def answer_to(self, command_id: str) -> dict[str, Any] | None:
        """What a command answered, where it was carried out."""
        end = Journal(self._store, command_id).end
        return end.answer if end is not None and end.phase == "done" else None
