"""What every collector must keep to. Its test module inherits this class and gives the makers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from collectors.base import Absent, Collector, CollectorError, Note, variable_name
from collectors.discovery import collector_classes
from collectors.harvest import harvest_of
from collectors.runner import Pace, Runner
from warehouse.records import CollectorRun
from warehouse.schema import TABLES
from warehouse.store import Store


class FixedClock:
    """An instant that doesn't pass."""

    def __init__(self, instant: datetime) -> None:
        self.instant = instant

    def now(self) -> datetime:
        return self.instant


class CollectorContract:
    """Inherited by the test of each collector."""

    collector_class: type[Collector]

    def make_working(self) -> Collector:
        """One whose source answers well."""
        raise NotImplementedError

    def make_failing(self) -> Collector:
        """One whose source doesn't answer."""
        raise NotImplementedError

    def test_it_is_found_by_the_name_of_its_module(self):
        name = self.collector_class.name
        assert collector_classes()[name] is self.collector_class
        assert self.collector_class.__module__ == f"collectors.{name}"

    def test_it_says_how_often_and_how_long_it_runs(self):
        collector = self.make_working()
        assert collector.every_seconds > 0
        assert 0 < collector.time_limit_seconds <= collector.every_seconds

    def test_it_yields_rows_of_the_house_and_nothing_else(self, now):
        harvest = harvest_of(self.make_working().collect(now))
        assert harvest.row_count > 0
        assert all(type(row) in TABLES for row in harvest.records)
        assert all(record_class in TABLES for record_class, _ in harvest.frames)
        assert not any(isinstance(row, Note) for row in harvest.records)

    def test_its_instants_are_utc(self, now):
        for row in harvest_of(self.make_working().collect(now)).records:
            assert row.measured_at.tzinfo is UTC

    def test_the_warehouse_takes_its_rows_and_its_run(self, store: Store, now):
        run = Runner(store, FixedClock(now)).run(self.make_working())
        assert (run.outcome, run.detail) == ("succeeded", None)
        assert run.row_count > 0
        assert store.rows(CollectorRun, "SELECT * FROM collector_runs") == [run]

    def test_a_source_that_fails_is_told_in_words(self, now):
        with pytest.raises(CollectorError) as caught:
            list(self.make_failing().collect(now))
        assert len(str(caught.value)) > 20

    def test_a_run_that_fails_stores_nothing_but_itself(self, store: Store, now):
        run = Runner(store, FixedClock(now), pace=Pace(most_attempts=1)).run(self.make_failing())
        assert (run.outcome, run.row_count) == ("failed", 0)
        for table in (t for t in TABLES.values() if t.name != "collector_runs"):
            assert store.query(f"SELECT 1 FROM {table.name}").is_empty()

    def test_it_can_be_switched_off(self):
        switch = variable_name(self.collector_class.name, "enabled")
        absent = self.collector_class.from_env({switch: "false"})
        assert absent == Absent(f"switched off by {switch}")

    def test_each_of_its_settings_has_its_sentence(self):
        fields = self.collector_class.settings_class.model_fields
        assert fields
        assert all(field.description for field in fields.values())
