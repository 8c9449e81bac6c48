"""Where a warehouse is: on one machine, or shared by several.

On one machine the catalogue is a DuckDB file and the data a folder beside it. A shared warehouse
has its catalogue in PostgreSQL and its data on S3; then several consoles and collectors write at
once. Settings alone say which (`docs/scale.md`). Nothing secret is in what a location prints.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import SecretStr

from warehouse.errors import NotWritable, Refused
from warehouse.settings import MEMORY_MEGABYTES, PREFIX, Settings

CATALOGUE_FILE = "catalogue.duckdb"
DATA_FOLDER = "parquet"
SPILL_FOLDER = "tmp"
POSTGRES = "postgres:"
S3 = "s3://"

PATIENCE = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
"""What libpq is told where the settings say nothing: a network that swallows everything is noticed
within half a minute; libpq by itself waits for hours."""

_WORD = re.compile(r"\s*([a-z_]+)\s*=\s*('(?:[^'\\]|\\.)*'|[^\s']\S*|)")


@dataclass(frozen=True)
class S3Access:
    """How the data on S3 are reached. Without a key the machine's or the pod's own are used."""

    region: str = "us-east-1"
    endpoint: str = ""
    """Host and port of the server; empty for Amazon's."""
    key_id: str = ""
    secret: SecretStr | None = None
    url_style: Literal["path", "vhost"] = "vhost"
    use_ssl: bool = True


@dataclass(frozen=True)
class Location:
    """Where a warehouse is: its catalogue and its Parquet files, as DuckLake names them."""

    catalogue: str
    """What follows `ducklake:`, a file path or `postgres:` and libpq's words; never a password."""
    data: str
    """Folder or URL prefix of the Parquet files, with a slash at its end."""
    password: SecretStr | None = None
    """Password of the catalogue's user."""
    s3: S3Access | None = field(default=None)
    """How the data are reached where they are on S3."""
    memory_megabytes: int = MEMORY_MEGABYTES
    """Most that a process takes for questions and for what it keeps of files it has read."""
    spill: Path | None = None
    """Folder for what does not fit into it; None for DuckDB's own, below the working folder."""

    @classmethod
    def embedded(cls, home: Path, memory_megabytes: int = MEMORY_MEGABYTES) -> Location:
        """The default: a DuckDB catalogue in `home` and the Parquet files beside it.

        Raises:
            NotWritable: `home` can't be made or written.
        """
        prove_writable(home, f"{PREFIX}HOME")
        data = home / DATA_FOLDER
        data.mkdir(exist_ok=True)
        catalogue, spill = str(home / CATALOGUE_FILE), home / SPILL_FOLDER
        return cls(catalogue, f"{data}/", memory_megabytes=memory_megabytes, spill=spill)

    @classmethod
    def of(cls, settings: Settings) -> Location:
        """Where the settings say that the warehouse is.

        Raises:
            NotWritable: a folder can't be made or written.
            Refused: the settings don't go together.
        """
        words, in_it = _catalogue_words(settings.catalogue)
        password = _secret("CATALOGUE_PASSWORD", settings) or in_it
        data = settings.data.strip()
        if words and not data:
            raise Refused(
                f"{PREFIX}CATALOGUE names a shared catalogue, and {PREFIX}DATA says nothing: give "
                "it s3://bucket/prefix, or a folder that every console and collector sees"
            )
        memory = settings.memory_megabytes
        home = cls.embedded(settings.home, memory)  # the keys of sessions are there in any case
        if data.startswith(S3):
            place, s3 = f"{data.rstrip('/')}/", s3_access(settings)
        else:
            place, s3 = (_folder(Path(data)) if data else home.data), None
        catalogue = POSTGRES + _joined(words) if words else home.catalogue
        return cls(catalogue, place, password, s3, memory, home.spill)

    @property
    def is_shared(self) -> bool:
        """Whether several processes may have it open at once."""
        return self.catalogue.startswith(POSTGRES)

    @property
    def is_on_s3(self) -> bool:
        """Whether its data are on S3."""
        return self.data.startswith(S3)

    @property
    def words(self) -> str:
        """Both places, for people."""
        return f"the catalogue {self.catalogue} with the data in {self.data}"

    def scrubbed(self, text: str) -> str:
        """A text without the secrets of this location, should any have got into it."""
        for secret in (self.password, self.s3.secret if self.s3 else None):
            if secret and secret.get_secret_value():
                text = text.replace(secret.get_secret_value(), "***")
        return text


def prove_writable(folder: Path, variable: str) -> None:
    """Make a folder and see that it can be written.

    Raises:
        NotWritable: it can't; `variable` is what to set to another.
    """
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink(missing_ok=True)  # of two that start at once one has taken it away
    except OSError as error:
        raise NotWritable(
            f"the data folder {folder} can't be written ({error.strerror}): "
            f"give {variable} a folder that this user may write"
        ) from error


def _folder(folder: Path) -> str:
    prove_writable(folder, f"{PREFIX}DATA")
    return f"{folder.resolve()}/"


# -- the catalogue ----------------------------------------------------------------------


def _catalogue_words(setting: SecretStr | None) -> tuple[dict[str, str], SecretStr | None]:
    """libpq's words of what was given, and the password that was among them."""
    given = setting.get_secret_value().strip() if setting else ""
    if not given:
        return {}, None
    if given.startswith(("postgresql://", "postgres://")):
        words = _of_uri(given)
    elif given.startswith(POSTGRES):
        words = _of_words(given.removeprefix(POSTGRES))
    else:
        raise Refused(
            f"{PREFIX}CATALOGUE is no catalogue that is known: give it "
            "`postgres:dbname=… host=… user=…`, `postgresql://user@host/dbname`, or leave it empty"
        )
    password = words.pop("password", "")
    if not words.get("dbname"):
        raise Refused(f"{PREFIX}CATALOGUE names no database: add dbname=… to it")
    for name, value in PATIENCE.items():
        words.setdefault(name, value)
    return words, SecretStr(password) if password else None


def _of_uri(given: str) -> dict[str, str]:
    try:
        parts = urlsplit(given)
        found = {
            "host": unquote(parts.hostname or ""),
            "port": str(parts.port or ""),
            "user": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "dbname": unquote(parts.path.lstrip("/")),
            **dict(parse_qsl(parts.query)),
        }
    except ValueError:  # whose sentence would tell what was given, and a password with it
        raise Refused(f"{PREFIX}CATALOGUE is no URI that can be read: see docs/scale.md") from None
    return {name: value for name, value in found.items() if value}


def _of_words(given: str) -> dict[str, str]:
    if given.strip().startswith(("//", "postgresql:")):
        return _of_uri(given.strip().removeprefix("postgresql:"))
    found, end = dict[str, str](), 0
    for word in _WORD.finditer(given):
        if word.start() != end:
            break
        end = word.end()
        value = word.group(2)
        found[word.group(1)] = re.sub(r"\\(.)", r"\1", value.strip("'")) if value else ""
    if given[end:].strip():
        raise Refused(f"{PREFIX}CATALOGUE can't be read as libpq's words: write name=value pairs")
    return found


def _joined(words: dict[str, str]) -> str:
    return " ".join(f"{name}={_word(value)}" for name, value in words.items() if value)


def _word(value: str) -> str:
    if re.fullmatch(r"[\w./:@%+-]+", value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


# -- S3 and secrets -----------------------------------------------------------------------


def s3_access(settings: Settings) -> S3Access:
    """An endpoint may be given as a URL: it then says by itself whether it speaks TLS."""
    endpoint, use_ssl = settings.s3_endpoint.strip().rstrip("/"), settings.s3_use_ssl
    scheme, is_url, rest = endpoint.partition("://")
    if is_url:
        endpoint, use_ssl = rest, scheme == "https"
    secret = _secret("S3_SECRET", settings)
    if bool(settings.s3_key_id) != bool(secret):
        raise Refused(
            f"{PREFIX}S3_KEY_ID and {PREFIX}S3_SECRET go together: set both, or neither to use the "
            "credentials of this machine or pod"
        )
    style = settings.s3_url_style or ("path" if endpoint else "vhost")
    return S3Access(settings.s3_region, endpoint, settings.s3_key_id, secret, style, use_ssl)


def _secret(name: str, settings: Settings) -> SecretStr | None:
    """A secret as it was set, or read from the file that `…_FILE` names."""
    given: SecretStr | None = getattr(settings, name.lower())
    file: Path | None = getattr(settings, f"{name.lower()}_file")
    if given or not file:
        return given
    try:
        return SecretStr(file.read_text().strip())
    except OSError as error:
        raise Refused(
            f"{PREFIX}{name}_FILE is {file}, which can't be read ({error.strerror}): "
            f"{_readable_by()} must be able to"
        ) from error


def _readable_by() -> str:
    return f"user {os.getuid()}" if hasattr(os, "getuid") else "this user"
