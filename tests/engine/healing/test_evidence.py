"""What speaks against a node, what it weighs, and what doesn't count."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engine.healing.pieces import gpu_words, span_words
from engine.healing.weights import WEIGHTS
from engine.healing.xids import XIDS, xid
from tests.engine.healing.ailing import (
    Ailing,
    condition,
    make_cluster_node,
    make_gpu_event,
    minutes,
)
from tests.makers import NOON, make_gpu_sample, make_job_event
from warehouse.healing import headline
from warehouse.healing import suspects as suspects_of


def test_a_fleet_in_which_nothing_happens_has_no_rows(ailing: Ailing) -> None:
    assert ailing.judge() == []


def test_one_xid_makes_a_node_suspect_where_its_gpu_is_of_no_use_until_mended(
    ailing: Ailing,
) -> None:
    ailing.read(*(f"node-{code}" for code in XIDS))
    ailing.store.append([make_gpu_event(node_id=f"node-{code}", code=code) for code in XIDS])
    ailing.judge()
    suspects = {row.node_id for row in suspects_of(ailing.store)}
    wanted = {f"node-{code}" for code, each in XIDS.items() if each.kind in ("reset", "replace")}
    assert suspects == wanted
    assert 5 < len(wanted) < len(XIDS) - 5


def test_a_jobs_own_xids_count_little_however_many_they_are(ailing: Ailing) -> None:
    storm = [
        make_gpu_event(code=code, happened_at=NOON - timedelta(seconds=n))
        for n in range(60)
        for code in (13, 31, 43, 45)
    ]
    ailing.store.append(storm)
    ailing.judge()
    assert set(ailing.signals().values()) == {WEIGHTS.application_most_ratio}
    few = [each for each in storm if each.code == 31]
    assert len(few) == 60
    assert ailing.health().health_ratio == pytest.approx(0.8**4, abs=1e-3)


def test_an_unknown_xid_is_watched() -> None:
    assert (xid(999).kind, xid(79).words) == ("watch", "GPU fell off the bus")


def test_evidence_fades_by_half_in_its_half_life(ailing: Ailing) -> None:
    ailing.store.append([make_gpu_event(code=94)])
    ailing.judge()
    assert ailing.signals() == {"xid_94": 0.2}
    ailing.turn(hours=6)
    ailing.judge()
    assert ailing.signals() == {"xid_94": 0.1}
    ailing.turn(hours=19)
    ailing.judge()
    assert ailing.health().evidence == []
    assert ailing.health().health_ratio == 1.0


def test_of_two_sources_that_tell_of_the_same_the_one_that_saw_more_is_believed(
    ailing: Ailing,
) -> None:
    ailing.store.append([make_gpu_event(code=94, source=name) for name in ("nvml", "kubernetes")])
    ailing.judge()
    assert ailing.signals() == {"xid_94": 0.2}


def test_who_carries_the_pager_reads_in_one_line_what_is_wrong(ailing: Ailing) -> None:
    events = [make_gpu_event(happened_at=NOON - minutes(n)) for n in (10, 4, 0)]
    jobs = [
        make_job_event(job_id=f"job-{n}", event=event, node_ids=nodes, happened_at=at)
        for n in range(2)
        for event, nodes, at in (
            ("started", ["node-0"], NOON - timedelta(hours=2)),
            ("failed", [], NOON - minutes(9)),
        )
    ]
    ailing.store.append([*events, *jobs])
    ailing.judge()
    assert headline(ailing.health()) == (
        "Node node-0: 3 XID 79 (GPU fell off the bus) in 10 min, GPU 3; 2 jobs failed on it"
    )
    assert ailing.health().onset_at == NOON - minutes(10)


def test_a_lost_gpu_that_is_told_of_every_hour_weighs_no_more_for_it(ailing: Ailing) -> None:
    ailing.store.append(
        [make_gpu_event(kind="gpu_lost", happened_at=NOON - timedelta(hours=n)) for n in range(5)]
    )
    ailing.judge()
    assert ailing.signals() == {"gpu_lost": 0.85}


def test_memory_errors_and_row_remaps_are_read_off_counters_and_flags(ailing: Ailing) -> None:
    ailing.store.append(
        [
            make_gpu_sample(ecc_uncorrected_count=4, measured_at=NOON - minutes(9)),
            make_gpu_sample(ecc_uncorrected_count=6, row_remap_is_pending=True),
            make_gpu_sample(node_id="node-1", gpu_id="gpu-1", row_remap_has_failed=True),
        ]
    )
    ailing.judge()
    assert ailing.signals() == {"ecc_uncorrected": 0.3, "row_remap_pending": 0.3}
    words = [each["words"] for each in ailing.health().evidence]
    assert "2 uncorrected memory errors, GPU 0" in words
    assert ailing.signals("node-1") == {"row_remap_failed": 0.95}
    assert ailing.health("node-1").is_suspect


def test_hardware_that_holds_clocks_down_counts_and_idle_or_capped_clocks_do_not(
    ailing: Ailing,
) -> None:
    for n in range(6):
        at = NOON - minutes(5 * n)
        ailing.store.append(
            [
                make_gpu_sample(
                    throttle_reasons="HwSlowdown,HwThermalSlowdown",
                    temperature_celsius=91.0,
                    measured_at=at,
                ),
                make_gpu_sample(
                    node_id="node-1", gpu_id="b", throttle_reasons="SwPowerCap,GpuIdle,"
                    "ApplicationsClocksSetting", measured_at=at,
                ),
            ]
        )  # fmt: skip
    ailing.judge()
    assert ailing.signals() == {"throttled": 0.6, "hot": 0.3}
    assert ailing.health().is_suspect
    assert ailing.health().evidence[0]["words"] == "clocks held down by heat, GPU 0"
    assert [row.node_id for row in ailing.judge()] == []


def test_a_node_that_is_not_read_while_its_pool_is_has_gone_silent(ailing: Ailing) -> None:
    ailing.at += minutes(6)
    ailing.read("node-1")
    ailing.judge()
    assert ailing.signals() == {"silent": 0.6}
    assert ailing.health().evidence[0]["words"] == "not read since 12:00 UTC, while its pool was"


def test_a_pool_that_nobody_reads_makes_no_node_ill(ailing: Ailing) -> None:
    ailing.at += timedelta(hours=3)
    assert ailing.judge() == []


def test_what_kubernetes_says_of_a_node_counts_once_it_lasts(ailing: Ailing) -> None:
    not_ready = {**condition("Ready", NOON - minutes(20)), "status": "Unknown"}
    ailing.store.append(
        [
            make_cluster_node(is_ready=False, conditions=[not_ready]),
            make_cluster_node(
                node_id="node-1",
                conditions=[
                    condition("MemoryPressure", NOON - minutes(20)),
                    condition("KernelDeadlock", NOON - minutes(1)),
                ],
            ),
            make_cluster_node(
                node_id="new",
                is_ready=False,
                conditions=[not_ready],
                created_at=NOON - minutes(3),
            ),
        ]
    )
    ailing.judge()
    assert ailing.signals() == {"not_ready": 0.7}
    assert ailing.health().evidence[0]["words"] == "not ready since 11:40 UTC, KubeletStopped"
    assert ailing.signals("node-1") == {
        "condition_KernelDeadlock": 0.2,
        "condition_MemoryPressure": 0.15,
    }
    assert not ailing.health("node-1").is_suspect


def test_another_machine_of_the_same_name_starts_with_a_clean_sheet(ailing: Ailing) -> None:
    ailing.store.append([make_gpu_event(), make_cluster_node()])
    ailing.judge()
    assert ailing.health().is_suspect
    ailing.turn(minutes=30)
    born = make_cluster_node(uid="uid-9", created_at=ailing.at, measured_at=ailing.at)
    ailing.store.append([born])
    ailing.judge()
    assert ailing.health().evidence == []


def test_words_say_over_how_long_and_on_which_gpus() -> None:
    assert span_words(NOON, NOON) == ""
    assert span_words(NOON, NOON + timedelta(hours=3)) == " in 3 h"
    assert gpu_words(["7", "0", "7"]) == ", GPUs 0, 7"
    assert gpu_words([]) == ""
