"""The settings: read from the environment with the prefix `PILOTHOUSE_`, checked at the start.

`docs/settings.md` is printed from here. Flags of `python app.py` go before the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from warehouse.keeping import KEEP_PREFIX, KeepSettings

PREFIX = "PILOTHOUSE_"
MEMORY_MEGABYTES = 2048
"""By default, of DuckDB in a process: enough for a day of 16,000 GPUs, little for a small pod."""


ORIGIN = r"https?://(\*\.)?[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?"
"""An origin as a content policy may name it: nothing that would end the directive."""


def _default_home() -> Path:
    data_home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data_home) / "pilothouse"


class Settings(BaseSettings):
    """Everything that is decided before the console starts. What may change while it runs -
    modes, limits, the kill switch, the fleet's speed - is set on the Admin page instead."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    home: Path = Field(
        default_factory=_default_home,
        description="Data folder: the warehouse, the session key. Made if it is not there.",
    )
    catalogue: SecretStr | None = Field(
        None,
        description=(
            "Catalogue of a shared warehouse in PostgreSQL, `postgres:dbname=… host=… user=…` or "
            "`postgresql://user@host/dbname`; empty for a file in the data folder, which one "
            "process may open."
        ),
    )
    catalogue_password: SecretStr | None = Field(
        None, description="Password of the catalogue's user."
    )
    catalogue_password_file: Path | None = Field(
        None, description="File that the password is read from instead."
    )
    data: str = Field(
        "",
        description=(
            "Where the Parquet files are, `s3://bucket/prefix`, or a folder, which for a shared "
            "catalogue every console and collector must see; empty for one in the data folder."
        ),
    )
    memory_megabytes: int = Field(
        MEMORY_MEGABYTES,
        ge=256,
        le=1_048_576,
        description=(
            "Most memory that the warehouse takes in a process, for questions and for what it "
            "keeps of files it has read; what does not fit is put into `tmp` in the data folder."
        ),
    )
    s3_endpoint: str = Field(
        "",
        description=(
            "Host and port of an S3 server, or its URL, whose scheme then says whether TLS is "
            "used; empty for Amazon's."
        ),
    )
    s3_region: str = Field("us-east-1", description="Region of the bucket.")
    s3_key_id: str = Field(
        "",
        description=(
            "Id of the S3 key; empty for the credentials of this machine or pod, found as "
            "Amazon's tools find them."
        ),
    )
    s3_secret: SecretStr | None = Field(None, description="Secret of the S3 key.")
    s3_secret_file: Path | None = Field(
        None, description="File that the secret is read from instead."
    )
    s3_url_style: Literal["path", "vhost", ""] = Field(
        "",
        description=(
            "How a bucket is named in URLs: `path` or `vhost`; empty for `path` where an endpoint "
            "is given, else `vhost`."
        ),
    )
    s3_use_ssl: bool = Field(True, description="Whether the S3 server is spoken to by TLS.")
    host: str = Field("127.0.0.1", description="Address to listen on. Loopback by default.")
    port: int = Field(
        8050, ge=0, le=65535, description="Port to listen on; 0 lets the system choose one."
    )
    allowed_hosts: str = Field(
        "",
        description=(
            "Host names, separated by commas, by which browsers may reach the console besides "
            "the address it listens on; others are refused."
        ),
    )
    is_behind_https: bool = Field(
        False, description="Whether browsers reach it by https: cookies are then marked Secure."
    )
    embed_origins: str = Field(
        "",
        pattern=rf"^({ORIGIN}(\s*,\s*{ORIGIN})*)?$",
        description=(
            "Origins, separated by commas (`https://portal.example.org`), whose pages may hold the "
            "embedded approval in a frame; empty for none."
        ),
    )
    slack_webhook_url: SecretStr | None = Field(
        None, description="Slack's incoming webhook to which waiting decisions are posted."
    )
    slack_bot_token: SecretStr | None = Field(
        None,
        description=(
            "Token of a Slack app with the scope `chat:write`, used instead of the webhook: its "
            "messages can be updated whoever decides."
        ),
    )
    slack_channel: str = Field("", description="Channel's id to which the app posts.")
    slack_signing_secret: SecretStr | None = Field(
        None, description="The app's signing secret; without it buttons in Slack decide nothing."
    )
    slack_users: str = Field(
        "",
        pattern=r"^(\s*[A-Z0-9]+\s*=\s*[^=,\s]+\s*(,|$))*$",
        description="Who is who: `U012AB3CD=alice,U045EF6GH=bob`; others decide nothing in Slack.",
    )
    admin_password: SecretStr | None = Field(
        None,
        description=(
            "Password of `admin` at the first start. Without it a one-time sign-in is printed."
        ),
    )
    metrics_are_open: bool = Field(
        False, description="Whether /metrics answers without a token, for a scraper on loopback."
    )
    requests_per_minute: int = Field(
        1200,
        ge=0,
        le=10_000_000,
        description=(
            "Requests of the API that one token may send a minute, and at most in one go; "
            "0 for no limit."
        ),
    )
    fleet: Literal["simulated", "kubernetes", "none"] = Field(
        "simulated",
        description=(
            "`simulated` steers a simulated fleet, `kubernetes` the cluster that the settings of "
            "`kubernetes` name; `none` shows only what the collectors find."
        ),
    )
    seed: int = Field(7, ge=0, description="Seed of the simulated fleet: same seed, same luck.")
    trace: Path | None = Field(
        None,
        description=(
            "A Parquet file of jobs that the simulated fleet works through; generated without it."
        ),
    )
    history_days: float = Field(
        14.0, ge=0.25, le=400.0, description="Days of history the simulated fleet starts with."
    )
    fleet_gpus: int | None = Field(
        None,
        ge=32,
        le=100_000,
        description=(
            "About how many GPUs the simulated fleet owns, in the demo fleet's shares; 512 at its "
            "first start, and afterwards those it has. A trace's fleet is sized to its trace."
        ),
    )
    live_from: datetime | None = Field(
        None,
        description=(
            "Instant at which the simulated fleet goes live, for a run that can be repeated; "
            "now without it."
        ),
    )
    speed: float = Field(
        20.0,
        ge=0.0,
        le=3600.0,
        description=(
            "Fleet seconds per real second at the first start; later it is set on the page."
        ),
    )
    sample_days: float = Field(
        3.0, gt=0.0, description="Days for which raw GPU samples are kept; roll-ups stay."
    )
    learn_enabled: bool = Field(
        True,
        description=(
            "Whether a challenger is trained on this console's own history, once a day of the "
            "fleet's time and in a process of the lowest priority. It needs PyTorch; without it "
            "the console says so among its training runs."
        ),
    )
    score_weights: Path | None = Field(
        None,
        description=(
            "TOML file of the weights of the scores, as `docs/scoring.md` shows it; without it "
            "`score_weights.toml` in the data folder, where there is one."
        ),
    )
    export_enabled: bool = Field(
        True, description="Whether days and months are exported by themselves once metered."
    )
    export_place: str = Field(
        "",
        description=(
            "Folder or `s3://bucket/prefix` to which exports go; without it `exports` in the data "
            "folder."
        ),
    )
    export_provider: str = Field(
        "GPU cloud", description="Who sells the GPU-hours, as exports name it."
    )
    export_invoice_issuer: str = Field(
        "", description="Who sends the bill, as exports name it; the provider without it."
    )
    export_host_provider: str = Field(
        "", description="Whose machines they are, as exports name it; the provider without it."
    )
    export_billing_account_id: str = Field(
        "gpu-cloud", description="Id of the account whose sub-accounts the tenants are, in exports."
    )
    export_billing_account_name: str = Field("GPU cloud", description="Its name, in exports.")
    export_service: str = Field("GPU compute", description="Name of what is sold, in exports.")
    sql_role: Literal["viewer", "operator", "admin"] = Field(
        "viewer", description="Who may ask questions of their own on the SQL page and by the API."
    )
    sql_seconds: float = Field(
        30.0, ge=1.0, le=600.0, description="Most seconds that such a question may take."
    )
    sql_memory_megabytes: int = Field(
        1024, ge=128, le=262_144, description="Most memory that its process may take."
    )
    sql_rows: int = Field(
        100_000, ge=100, le=1_000_000, description="Most rows that its answer may have."
    )
    sql_at_once: int = Field(
        2, ge=1, le=32, description="Questions answered at once; four times as many wait."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="What the console writes to its standard error."
    )


HEAD = """# Settings

Printed by `python app.py settings` from the code; a test compares the two.

Read from the environment at the start. `python app.py --help` lists the flags, which go before.
"""


def settings_markdown(
    collectors: Mapping[str, type[BaseModel]],
    shared: Mapping[str, type[BaseModel]] | None = None,
    hands: Mapping[str, type[BaseModel]] | None = None,
) -> str:
    """The whole of `docs/settings.md`: the settings of the collectors by name, what several of
    them share, and of those hands that bear a collector's name what is theirs alone."""
    return "".join(
        [
            HEAD,
            _section("The console", PREFIX, Settings),
            _section("How long rows are kept", KEEP_PREFIX, KeepSettings),
            *(
                _section(f"The collector `{name}`", f"{PREFIX}{name}_", settings)
                for name, settings in collectors.items()
            ),
            *(
                _section(f"Shared by collectors: `{name}`", f"{PREFIX}{name}_", settings)
                for name, settings in (shared or {}).items()
            ),
            *(
                _section(
                    f"Acting on `{name}`",
                    f"{PREFIX}{name}_",
                    settings,
                    frozenset(collectors[name].model_fields),
                )
                for name, settings in (hands or {}).items()
            ),
        ]
    )


def _section(
    title: str, prefix: str, settings: type[BaseModel], besides: frozenset[str] = frozenset()
) -> str:
    rows = "".join(
        f"| `{prefix}{name}` |".upper() + f" {_default_words(name, field)} | {_meaning(field)} |\n"
        for name, field in settings.model_fields.items()
        if name not in besides
    )
    return f"\n## {title}\n\n| variable | default | meaning |\n|---|---|---|\n{rows}"


def _meaning(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


def _default_words(name: str, field: FieldInfo) -> str:
    if name == "home":
        return "`~/.local/share/pilothouse`"
    default = None if field.default_factory else field.default
    if default in (None, "", ()):
        return ""
    if isinstance(default, tuple):
        default = ",".join(default)
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"
