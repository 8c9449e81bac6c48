"""The `prometheus` collector as a whole: its contract, and what becomes of targets that fail."""

from __future__ import annotations

import ssl
import subprocess
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from collectors.base import Absent, InvalidSetting, NotHere, Refused
from collectors.prometheus import AllFailed, PrometheusCollector
from collectors.prometheus_scrape import Access, Scraper
from collectors.prometheus_settings import PrometheusSettings
from collectors.runner import Pace, Runner
from tests.collectors.contract import CollectorContract, FixedClock
from tests.collectors.exporter_farm import Exporters, Says, exposition
from tests.collectors.prometheus_scene import FIRST, Scene, gpu, scene
from warehouse.records import GpuSample

GOOD = exposition([gpu(0), gpu(1)])
OTHER, THIRD = "127.0.0.2", "127.0.0.3"


@pytest.fixture
def stage(tmp_path: Path, now):
    with scene(tmp_path, now) as made:
        yield made


class TestContract(CollectorContract):
    collector_class = PrometheusCollector

    @pytest.fixture(autouse=True)
    def _stage(self, stage: Scene):
        self.stage = stage

    def make_working(self):
        self.stage.exporters.says[FIRST] = Says(GOOD)
        return self.stage.collector

    def make_failing(self):
        self.stage.exporters.says[FIRST] = Says(status="500 Internal Server Error")
        return self.stage.collector


# -- settings -------------------------------------------------------------------------


def test_without_targets_it_is_absent_and_says_how_to_set_them():
    absent = PrometheusCollector.from_env({})
    assert isinstance(absent, Absent)
    assert "PILOTHOUSE_PROMETHEUS_TARGETS_FILE" in absent.reason


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "1/0", "a/b"])
def test_a_shard_that_is_none_is_refused(shard):
    environ = {
        "PILOTHOUSE_PROMETHEUS_TARGETS_FILE": "x.json",
        "PILOTHOUSE_PROMETHEUS_SHARD": shard,
    }
    with pytest.raises(InvalidSetting, match="PILOTHOUSE_PROMETHEUS_SHARD"):
        PrometheusCollector.from_env(environ)


def test_pods_can_be_sought_only_where_a_cluster_is_given():
    environ = {"PILOTHOUSE_PROMETHEUS_KUBERNETES_SELECTOR": "app=dcgm-exporter"}
    with pytest.raises(InvalidSetting, match="PILOTHOUSE_KUBERNETES_KUBECONFIG"):
        PrometheusCollector.from_env(environ)


# -- a target that fails ------------------------------------------------------------------

FAULTS = {
    "answered 401 Unauthorized": Says(status="401 Unauthorized"),
    "answered 404 Not Found": Says(status="404 Not Found"),
    "answered 429 Too Many Requests": Says(status="429 Too Many Requests"),
    "answered 503 Service Unavailable": Says(status="503 Service Unavailable"),
    "redirects to elsewhere.example, which is not followed (302)": Says(
        status="302 Found", headers={"Location": "http://elsewhere.example/metrics"}
    ),
    "broke off its answer": Says(GOOD, cut_at=200),
    "gave no whole answer within 0.5 s": Says(GOOD, drips=True),
    "answered with more than 1048576 bytes": Says("# x\n" * 2**18 + GOOD),
    "answers text/html, no metrics": Says("<html></html>", content_type="text/html"),
    "answers a web page, no metrics": Says("<!doctype html>\n"),
    "answers with an empty text": Says(""),
    "the text is cut off before its end": Says(GOOD[:-1]),
    "tells of no GPU and no cluster: is it an exporter?": Says("up 1\n"),
    "answered with what can't be unpacked": Says(b"no gzip", headers={"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("words", FAULTS)
def test_a_target_that_fails_is_named_and_the_others_are_read(tmp_path, now, words):
    with scene(tmp_path, now, most_mebibytes=1) as stage:
        stage.list(FIRST, OTHER)
        stage.exporters.says = {FIRST: Says(GOOD), OTHER: FAULTS[words]}
        told = stage.round()
        assert len(told.samples) == 2
        where = stage.exporters.address(OTHER)
        assert told.notes == (f"1 of 2 targets failed and have no newer rows: 1 {words} ({where})")


def test_a_target_that_refuses_or_has_no_name_is_told(stage: Scene):
    stage.exporters.says[FIRST] = Says(GOOD)
    good = stage.exporters.address(FIRST)
    stage.file.write_text(
        f'[{{"targets": ["{good}", "127.0.0.1:1", "no-such-host.invalid:9400"]}}]'
    )
    notes = stage.round().notes
    assert "1 refused the connection (127.0.0.1:1)" in notes
    assert "1 has a name that is not known (no-such-host.invalid:9400)" in notes


def test_a_failure_says_since_when_the_target_is_silent_and_brings_no_rows(stage: Scene):
    stage.list(FIRST, OTHER)
    stage.exporters.says = {FIRST: Says(GOOD), OTHER: Says(exposition([gpu(0, "GPU-other")]))}
    assert set(stage.round().samples) == {"GPU-0", "GPU-1", "GPU-other"}
    stage.exporters.says[OTHER] = Says(status="500 Oops")
    told = stage.round()
    assert set(told.samples) == {"GPU-0", "GPU-1"}
    assert "the longest silent since 12:00:15 UTC" in told.notes
    assert not told.events


def test_where_all_fail_the_run_fails_in_time_and_what_was_stored_stays(stage: Scene, store):
    stage.exporters.says[FIRST] = Says(GOOD)
    runner = Runner(store, FixedClock(stage.now), pace=Pace(first_pause_seconds=0.01))
    assert runner.run(stage.collector).outcome == "succeeded"
    stage.exporters.says[FIRST] = Says(status="500 Oops")
    run = runner.run(stage.collector)
    assert (run.outcome, run.attempt_count) == ("failed", 1)
    assert "1 answered 500 Oops" in (run.detail or "")
    assert store.query("SELECT count(*) FROM gpu_samples").item() == 2


def test_where_all_say_no_a_person_must_look(stage: Scene):
    stage.exporters.says[FIRST] = Says(status="403 Forbidden")
    with pytest.raises(Refused, match="the secrets they want"):
        stage.round()


def test_a_target_that_asks_to_be_left_alone_is_left_alone(stage: Scene):
    stage.list(FIRST, OTHER)
    busy = Says(status="429 Too Many Requests", headers={"Retry-After": "600"})
    stage.exporters.says = {FIRST: Says(GOOD), OTHER: busy}
    stage.round()
    assert "asked to be left alone for a while" in stage.round().notes
    assert stage.exporters.asked[OTHER] == 1


def test_slow_targets_delay_no_other_one(tmp_path, now):
    hosts = [f"127.0.1.{number}" for number in range(1, 9)]
    with scene(tmp_path, now, concurrency=4, timeout_seconds=2.0) as stage:
        stage.list(*hosts[:4], *hosts[4:])
        for host in hosts:
            stage.exporters.says[host] = Says(exposition([gpu(0, f"GPU-{host}")]))
        for host in hosts[:4]:  # as many as may be asked at once
            stage.exporters.says[host].is_silent = True
        told = stage.round()
        measured = set(told.frame(GpuSample)["measured_at"])
    assert set(told.samples) == {f"GPU-{host}" for host in hosts[4:]}
    assert measured == {stage.now}  # they had answered before a second was over


def test_no_more_are_asked_at_once_than_are_allowed(tmp_path, now):
    hosts = [f"127.0.1.{number}" for number in range(1, 40)]
    with scene(tmp_path, now, concurrency=3) as stage:
        stage.list(*hosts)
        for host in hosts:
            stage.exporters.says[host] = Says(
                exposition([gpu(0, f"GPU-{host}")]), headers={"Connection": "close"}, closes=True
            )
        assert len(stage.round().samples) == len(hosts)
        assert stage.exporters.most_at_once <= 2 * 3


def test_a_round_ends_within_its_limit_and_says_whom_it_did_not_reach(stage: Scene):
    stage.list(FIRST, OTHER)
    for host in (FIRST, OTHER):
        stage.exporters.says[host] = Says(GOOD, is_silent=True)
    scraper = Scraper(Access(timeout_seconds=60.0))
    urls = [f"http://{stage.exporters.address(host)}/metrics" for host in (FIRST, OTHER)]
    try:
        failures = scraper.round(urls, {}, 0.2, lambda got: None)
    finally:
        scraper.close()
    assert {each.words for each in failures.values()} == {"was not reached within the round's time"}


def test_whose_turn_did_not_come_is_first_in_the_next_round(stage: Scene):
    hosts = (FIRST, OTHER, THIRD)
    stage.exporters.says = {host: Says(GOOD) for host in hosts}
    stage.exporters.says[FIRST].is_silent = True
    urls = [f"http://{stage.exporters.address(host)}/metrics" for host in hosts]
    scraper = Scraper(Access(timeout_seconds=60.0, concurrency=1))
    try:
        assert len(scraper.round(urls, {}, 0.1, lambda got: None)) == len(hosts)
        assert stage.exporters.asked[OTHER] == 0  # the round's end is the end for all
        assert set(scraper.round(urls, {}, 1.0, lambda got: None)) == {urls[0]}
    finally:
        scraper.close()


# -- how they are asked -------------------------------------------------------------------


def test_connections_are_kept_and_one_that_was_closed_meanwhile_is_made_anew(stage: Scene):
    stage.exporters.says[FIRST] = Says(GOOD)
    stage.round()
    stage.round()
    assert (stage.exporters.connections[FIRST], stage.exporters.asked[FIRST]) == (1, 2)
    stage.exporters.says[FIRST].closes = True
    stage.round()
    assert not stage.round().notes


def test_packed_answers_are_asked_for_and_understood(stage: Scene):
    stage.exporters.says[FIRST] = Says(GOOD, is_gzipped=True)
    assert len(stage.round().samples) == 2
    assert b"Accept-Encoding: gzip" in stage.exporters.requests[0]


def test_a_token_is_read_again_each_round(tmp_path, now):
    token = tmp_path / "token"
    token.write_text("first\n")
    with scene(tmp_path, now, bearer_token_file=token) as stage:
        stage.exporters.says[FIRST] = Says(GOOD)
        stage.round()
        token.write_text("second\n")
        stage.round()
        asked = stage.exporters.requests
        assert b"Authorization: Bearer first\r\n" in asked[0]
        assert b"Authorization: Bearer second\r\n" in asked[1]
        token.unlink()
        with pytest.raises(Refused, match="PILOTHOUSE_PROMETHEUS_BEARER_TOKEN_FILE"):
            stage.round()


def test_a_user_and_a_password_are_sent(tmp_path, now):
    password = tmp_path / "password"
    password.write_text("open sesame\n")
    with scene(tmp_path, now, username="ali", password_file=password) as stage:
        stage.exporters.says[FIRST] = Says(GOOD)
        stage.round()
        assert b"Authorization: Basic YWxpOm9wZW4gc2VzYW1l\r\n" in stage.exporters.requests[0]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    both = folder / "both.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=exporter"
    given = [
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        str(both),
        "-out",
        str(folder / "c"),
    ]
    subprocess.run([*command.split(), *given], check=True, capture_output=True)
    both.write_text(both.read_text() + (folder / "c").read_text())
    return both


@pytest.mark.parametrize("is_trusted", [True, False])
def test_an_https_target_is_read_if_its_certificate_is_trusted(
    tmp_path, now, certificate, is_trusted
):
    exporters = Exporters()
    exporters.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    exporters.tls.load_cert_chain(certificate)
    exporters.says[FIRST] = Says(GOOD)
    file = tmp_path / "targets.yaml"
    with exporters:
        file.write_text(f"- targets: ['https://{exporters.address(FIRST)}']\n")
        ca_file = certificate if is_trusted else None
        collector = PrometheusCollector(PrometheusSettings(targets_file=str(file), ca_file=ca_file))
        try:
            if is_trusted:
                assert list(collector.collect(now))
            else:
                with pytest.raises(Refused, match="a certificate that is not trusted"):
                    list(collector.collect(now))
        finally:
            collector.close()


# -- who asks whom ------------------------------------------------------------------------


def test_each_target_is_asked_by_one_shard(tmp_path, now):
    hosts = [f"127.0.1.{number}" for number in range(1, 31)]
    seen: list[str] = []
    for shard in ("1/3", "2/3", "3/3"):
        with scene(tmp_path, now, shard=shard) as stage:
            stage.file.write_text(  # the same addresses for each: the port is not part of the test
                f'[{{"targets": {[f"{host}:9400" for host in hosts]}}}]'.replace("'", '"')
            )
            targets, _ = stage.collector._targets(now)
            assert targets
            seen += targets
    assert sorted(seen) == sorted(f"http://{host}:9400/metrics" for host in hosts)


def test_an_empty_list_is_no_failure(stage: Scene):
    stage.file.write_text("[]")
    with pytest.raises(NotHere):
        stage.round()


def test_the_time_of_a_sample_is_when_its_target_answered(stage: Scene, store):
    stage.exporters.says[FIRST] = Says(GOOD)
    Runner(store, FixedClock(stage.now)).run(stage.collector)
    found = store.query("SELECT measured_at, stored_at FROM gpu_samples")
    assert (found["measured_at"] - stage.now).max() <= timedelta(seconds=1)
    assert found["stored_at"].null_count() == 0
    assert found.select(pl.col("measured_at").n_unique()).item() == 1


def test_that_all_failed_is_not_tried_again_within_the_run():
    assert not AllFailed.may_be_retried
