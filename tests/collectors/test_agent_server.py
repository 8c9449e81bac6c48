"""The node agent's port, its command and its documentation."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pynvml
import pytest

from collectors.agent_server import CannotServe
from collectors.agent_settings import AgentSettings, settings_of
from collectors.base import InvalidSetting
from tests.collectors.agent_scene import agent
from tests.collectors.fake_nvml import FakeGpu, FakeInstance

ROOT = Path(__file__).resolve().parents[2]


# -- the port ---------------------------------------------------------------------------


def test_only_the_three_pages_are_there():
    with agent(FakeGpu()) as it:
        assert it.ask("/healthz")[2] == b"ok\n"
        assert it.ask("/metrics?x=1")[0] == 200
        assert it.ask("/")[0] == 404


def test_the_text_is_for_those_who_have_the_token():
    with agent(FakeGpu(), token="a-long-random-word") as it:
        status, head, said = it.ask()
        assert (status, head["WWW-Authenticate"]) == (401, "Bearer")
        assert b"wants its token" in said
        assert it.ask(Authorization="Bearer wrong")[0] == 401
        assert it.ask(Authorization="Bearer a-long-random-word")[0] == 200
        assert it.ask("/healthz")[0] == 200


def test_a_connection_too_many_is_closed_and_the_others_are_served():
    with agent(FakeGpu(), connections_max=2) as it:
        held = [http.client.HTTPConnection("127.0.0.1", it.server.port, timeout=10) for _ in "ab"]
        for wire in held:
            wire.request("GET", "/healthz")
            assert wire.getresponse().read() == b"ok\n"
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            it.ask("/healthz")
        for wire in held:
            wire.request("GET", "/healthz")
            assert wire.getresponse().read() == b"ok\n"
            wire.close()


def test_a_port_in_use_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(CannotServe, match=f"can't listen on 127.0.0.1:{port} .*--port"),
            agent(FakeGpu(), port=port),
        ):
            pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {cert} -days 2"
    command += " -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    if subprocess.run(command.split(), capture_output=True, check=False).returncode:
        pytest.skip("openssl makes no certificate here")
    return cert, key


def test_https_is_spoken_with_a_certificate(certificate: tuple[Path, Path]):
    cert, key = certificate
    trust = ssl.create_default_context(cafile=str(cert))
    with (
        agent(FakeGpu(), tls_cert_file=cert, tls_key_file=key) as it,
        socket.create_connection(("127.0.0.1", it.server.port)),  # silent, and holds nobody up
    ):
        wire = http.client.HTTPSConnection("127.0.0.1", it.server.port, context=trust, timeout=10)
        wire.request("GET", "/metrics")
        assert b"DCGM_FI_DEV_GPU_UTIL{" in wire.getresponse().read()
        wire.close()
    with (
        pytest.raises(CannotServe, match="can't be used"),
        agent(tls_cert_file=key, tls_key_file=key),
    ):
        pass


# -- the command ------------------------------------------------------------------------


def test_settings_come_from_flags_and_where_there_is_none_from_the_environment():
    environ = {"PILOTHOUSE_AGENT_PORT": "9999", "PILOTHOUSE_AGENT_NODE_ID": "n"}
    settings = settings_of(["--port", "9451", "--wait-for-gpu"], environ)
    assert (settings.port, settings.node_id, settings.wait_for_gpu) == (9451, "n", True)
    with pytest.raises(InvalidSetting, match="PILOTHOUSE_AGENT_PORT can't be used"):
        settings_of(["--port", "many"], {})
    with pytest.raises(InvalidSetting, match="both a certificate and its key"):
        settings_of(["--tls-cert-file", "cert.pem"], {})


def test_the_documentation_names_every_flag_and_every_series():
    said = (ROOT / "docs" / "agent.md").read_text()
    for name in AgentSettings.model_fields:
        assert f"`--{name.replace('_', '-')}`" in said
    cut = FakeGpu("GPU-1", instances=[FakeInstance("MIG-a")])
    with agent(gpu := FakeGpu(), cut) as it:
        it.ask()
        it.nvml.happens(gpu, pynvml.nvmlEventTypeXidCriticalError, 79)
        it.later(6)
        names = {
            name.removesuffix("_count").removesuffix("_sum").removesuffix("_bucket")
            for name in it.series()
            if name.endswith(("seconds_count", "seconds_sum"))
        } | {name for name in it.series() if "_reading_seconds" not in name}
    assert len(names) > 30
    assert not [name for name in names if f"`{name}`" not in said]


HOST = """
import sys
from collectors.agent import main
from tests.collectors.fake_nvml import FakeGpu, FakeNvml
heavy = {"dash", "torch", "duckdb", "polars", "numpy", "fastapi", "httpx"} & set(sys.modules)
assert not heavy, heavy
gpus = [FakeGpu() for _ in range(int(sys.argv[1]))]
sys.exit(main(sys.argv[2:], FakeNvml(*gpus)))
"""


@contextmanager
def command(*words: str) -> Iterator[subprocess.Popen[str]]:
    started = subprocess.Popen(
        [sys.executable, "-c", HOST, *words],
        cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def test_the_command_loads_no_page_and_no_database_serves_and_ends_at_once_when_told_to():
    with command("1", "--port", "0") as started:
        said = started.stderr.readline()
        port = int(said.rpartition(":")[2].partition("/")[0])
        with socket.create_connection(("127.0.0.1", port)):  # an open connection holds nothing up
            started.terminate()
            assert started.wait(5) == 0


def test_a_host_without_a_gpu_ends_with_a_reason_or_waits_as_told(tmp_path: Path):
    with command("0", "--port", "0") as started:
        assert started.wait(10) == 3
        said = started.stderr.read()
    assert said == (
        "pilothouse agent: no GPU is served here: the NVIDIA driver is loaded and shows no GPU; "
        "start it with --wait-for-gpu to serve that reason and wait\n"
    )
    (empty := tmp_path / "token").write_text("\n")
    with command("1", "--port", "0", "--token-file", str(empty)) as started:
        assert started.wait(10) == 1
        assert "is empty" in started.stderr.read()
    with command("0", "--port", "0", "--wait-for-gpu") as started:
        assert "no GPU yet" in started.stderr.readline()
        started.terminate()
        assert started.wait(5) == 0


def test_the_front_door_hands_the_command_on_before_it_loads_the_console():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "app.py", "agent", "--help"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "--wait-for-gpu" in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not {"dash", "duckdb", "polars", "console"} & loaded
    assert "collectors.agent_server" in loaded
