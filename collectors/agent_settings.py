"""The node agent's settings: each is a variable `PILOTHOUSE_AGENT_…` and a flag."""

from __future__ import annotations

import argparse
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from collectors.base import CollectorSettings, InvalidSetting, settings_from, variable_name

NAME = "agent"


class AgentSettings(CollectorSettings):
    """How the agent reads this host's GPUs and to whom it tells them."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address it listens on. Another than loopback wants a token, or a network that is closed."""
    port: int = Field(default=9450, ge=0, le=65535)
    """Port it listens on; 0 lets the system choose."""
    node_id: str = Field(default_factory=socket.gethostname, min_length=1)
    """The name of this host among the nodes, the label `Hostname`; its host name if not set."""
    every_seconds: float = Field(default=5.0, ge=0.1)
    """NVML is read at most once in so many seconds, however many scrape."""
    time_limit_seconds: float = Field(default=4.0, gt=0.0)
    """A reading that takes longer is left to itself: a wedged driver never answers."""
    stale_after_seconds: float = Field(default=15.0, gt=0.0)
    """From this age on the last good reading is no longer told."""
    token_file: Path | None = None
    """File with the bearer token that `/metrics` asks for."""
    tls_cert_file: Path | None = None
    """File with the certificate and its chain, PEM; with it the agent speaks HTTPS."""
    tls_key_file: Path | None = None
    """File with the certificate's private key, PEM."""
    wait_for_gpu: bool = False
    """Serve and wait where no GPU can be read, instead of ending."""
    connections_max: int = Field(default=32, ge=1)
    """Connections open at once; one more is refused."""


def settings_of(words: Sequence[str], environ: Mapping[str, str]) -> AgentSettings:
    """The settings by flags, and where there is none by the environment.

    Raises:
        InvalidSetting: one can't be understood.
    """
    flags = {name: given for name, given in vars(_parser().parse_args(words)).items() if given}
    variables = {variable_name(NAME, name): str(given) for name, given in flags.items()}
    settings = settings_from({**environ, **variables}, NAME, AgentSettings)
    if (settings.tls_cert_file is None) != (settings.tls_key_file is None):
        raise InvalidSetting(
            "HTTPS wants both a certificate and its key: give --tls-cert-file and --tls-key-file"
        )
    return settings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python app.py agent",
        description="Serves this host's NVIDIA GPUs as Prometheus text under DCGM's names.",
    )
    for name, field in AgentSettings.model_fields.items():
        default = "this host's name" if field.default_factory else field.default
        words = " ".join((field.description or "").split())
        shown = "" if default in (None, False) else f" (default {default})"
        kind: dict[str, Any] = {"action": "store_true"} if field.annotation is bool else {}
        parser.add_argument(f"--{name.replace('_', '-')}", help=f"{words}{shown}", **kind)
    return parser
