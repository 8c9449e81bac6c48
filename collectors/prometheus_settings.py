"""How exporters are found and asked; see `docs/telemetry.md`."""

from __future__ import annotations

import re
import ssl
from base64 import b64encode
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from collectors.base import CollectorSettings, InvalidSetting, Refused
from collectors.prometheus_discovery import Sought
from collectors.prometheus_scrape import Access
from collectors.prometheus_targets import Shard

ROUND_RATIO = 0.75
"""Share of a round's time limit in which exporters are asked; the rest is for reading and storing
what they said."""
KEEP_ROUNDS = 5
"""A connection is kept open for so many rounds without an answer."""
_SHARD = re.compile(r"([1-9]\d{0,3})/([1-9]\d{0,3})", re.ASCII)


class PrometheusSettings(CollectorSettings):
    """How exporters are found and asked."""

    enabled: bool = True
    """Whether they are asked at all."""
    targets_file: str | None = None
    """File of targets in Prometheus' file_sd form, JSON or YAML, read again when it changes; `*`
    in its last part stands for several files. The labels `pool`, `node` and `replicas` are
    understood."""
    kubernetes_selector: str = ""
    """Label selectors of pods that are exporters, each with its port behind an @, separated by
    semicolons: `app=nvidia-dcgm-exporter@9400`. The cluster is that of
    PILOTHOUSE_KUBERNETES_KUBECONFIG or _IN_CLUSTER."""
    every_seconds: float = Field(default=15.0, ge=2.0)
    """Seconds from one round to the next."""
    time_limit_seconds: float = Field(default=14.0, gt=0.5)
    """Seconds after which a round is given up; targets are asked for three quarters of them."""
    timeout_seconds: float = Field(default=4.0, gt=0.0)
    """Seconds in which one target must have answered in full."""
    concurrency: int = Field(default=128, ge=1, le=4096)
    """Targets that are asked at the same time; those that are slow are waited for beside them, as
    many again at most."""
    most_mebibytes: int = Field(default=64, ge=1, le=1024)
    """Largest answer of one target, unpacked, in MiB."""
    gzip: bool = True
    """Whether compressed answers are asked for."""
    bearer_token_file: Path | None = None
    """File with a token that every target is sent, read again each round."""
    username: str = ""
    """User of basic authentication, with `password_file`; it is sent to every target."""
    password_file: Path | None = None
    """File with that user's password, read again each round."""
    ca_file: Path | None = None
    """Certificates (PEM) that sign those of https targets; the system's without it."""
    verifies_tls: bool = True
    """Whether certificates of https targets are checked."""
    shard: str = "1/1"
    """Which part of the targets is this collector's, `2/3` for the second of three. Every target
    belongs to one part, by a hash of its address."""
    cluster_rows: Literal["auto", "on", "off"] = "auto"
    """Whether nodes, pods and Jobs are stored as kube-state-metrics tells them; auto: unless the
    `kubernetes` collector reads a cluster itself."""

    @field_validator("shard")
    @classmethod
    def _is_a_part(cls, text: str) -> str:
        found = _SHARD.fullmatch(text)
        if found is None or int(found[1]) > int(found[2]):
            raise ValueError("a shard is NUMBER/COUNT with NUMBER from 1 to COUNT, for example 1/3")
        return text

    @field_validator("kubernetes_selector")
    @classmethod
    def _can_be_sought(cls, text: str) -> str:
        for each in filter(str.strip, text.split(";")):
            Sought.from_text(each)
        return text

    @property
    def part(self) -> Shard:
        """The shard as numbers."""
        number, _, count = self.shard.partition("/")
        return Shard(int(number), int(count))

    @property
    def sought(self) -> tuple[Sought, ...]:
        """The pods that are looked for."""
        texts = filter(str.strip, self.kubernetes_selector.split(";"))
        return tuple(Sought.from_text(each) for each in texts)

    def access(self) -> Access:
        """How targets are asked.

        Raises:
            InvalidSetting: the certificates can't be read.
        """
        return Access(
            timeout_seconds=self.timeout_seconds,
            concurrency=self.concurrency,
            most_bytes=self.most_mebibytes * 2**20,
            takes_gzip=self.gzip,
            tls=self._tls(),
            keep_seconds=KEEP_ROUNDS * self.every_seconds,
        )

    def headers(self) -> dict[str, str]:
        """What every target is sent to prove who asks.

        Raises:
            Refused: a file with a secret can't be read.
        """
        if self.bearer_token_file is not None:
            token = _secret(self.bearer_token_file, "BEARER_TOKEN_FILE")
            return {"Authorization": f"Bearer {token}"}
        if self.username and self.password_file is not None:
            password = _secret(self.password_file, "PASSWORD_FILE")
            pair = b64encode(f"{self.username}:{password}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        return {}

    def _tls(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise InvalidSetting(f"PILOTHOUSE_PROMETHEUS_CA_FILE can't be used: {error}") from error
        if not self.verifies_tls:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context


def _secret(path: Path, setting: str) -> str:
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(
            f"the file of PILOTHOUSE_PROMETHEUS_{setting} can't be read ({error}): give it one "
            "that this user may read"
        ) from error
    if not text.isascii() or not text.isprintable():
        raise Refused(f"the file of PILOTHOUSE_PROMETHEUS_{setting} holds more than one plain line")
    return text
