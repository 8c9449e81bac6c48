"""Collectors are found by folder, and none is without its contract."""

from __future__ import annotations

import ast
import threading
from importlib import import_module
from pathlib import Path

import pytest

from collectors import discovery
from collectors.base import Absent, Collector, CollectorSettings, InvalidSetting
from collectors.discovery import collector_classes, collectors_here
from tests.collectors.contract import CollectorContract

FOLDER = Path(discovery.__file__).parent


def modules_that_define_a_collector() -> set[str]:
    found = set()
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and "Collector" in map(ast.unparse, node.bases):
                found.add(path.stem)
    return found


class HungCollector(Collector):
    name = "hung"
    settings_class = CollectorSettings
    every_seconds = 1.0
    time_limit_seconds = 1.0
    let_go = threading.Event()

    @classmethod
    def from_env(cls, environ):
        cls.let_go.wait(30)
        return Absent("too late")

    def collect(self, now):
        return []


class QuickCollector(HungCollector):
    name = "quick"

    @classmethod
    def from_env(cls, environ):
        return cls()


def test_every_module_that_defines_a_collector_is_found():
    assert set(collector_classes()) == modules_that_define_a_collector() >= {"nvml", "vast"}


@pytest.mark.parametrize("name", sorted(collector_classes()))
def test_every_collector_has_a_test_that_inherits_the_contract(name):
    tests = import_module(f"tests.collectors.test_{name}")
    contracts = [
        member
        for member in vars(tests).values()
        if isinstance(member, type)
        and issubclass(member, CollectorContract)
        and member is not CollectorContract
    ]
    assert [contract.collector_class for contract in contracts] == [collector_classes()[name]]


def test_those_switched_off_are_told_from_those_present():
    off = {f"PILOTHOUSE_{name}_ENABLED": "no" for name in ("NVML", "PRICING_PAGES")}
    found = collectors_here({**off, "PILOTHOUSE_LAMBDA_CLOUD_API_KEY": "k"})
    assert "no cluster is given" in found.absent.pop("kubernetes").reason
    assert "no targets are set" in found.absent.pop("prometheus").reason
    assert found.absent == {
        "nvml": Absent("switched off by PILOTHOUSE_NVML_ENABLED"),
        "pricing_pages": Absent("switched off by PILOTHOUSE_PRICING_PAGES_ENABLED"),
    }
    present = [collector.name for collector in found.present]
    assert present == ["hyperscalers", "lambda_cloud", "runpod", "vast"]


def test_one_that_hangs_when_asked_is_absent_and_the_others_are_there():
    classes = {"hung": HungCollector, "quick": QuickCollector}
    found = collectors_here({}, classes, probe_limit_seconds=0.05)
    HungCollector.let_go.set()
    assert [collector.name for collector in found.present] == ["quick"]
    assert "hung didn't say within 0.05 s" in found.absent["hung"].reason


def test_a_setting_that_cannot_be_understood_is_named():
    with pytest.raises(InvalidSetting, match="PILOTHOUSE_VAST_ENABLED can't be used"):
        collectors_here({"PILOTHOUSE_VAST_ENABLED": "maybe"})
