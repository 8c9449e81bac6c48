"""A shared warehouse for a test: a database and a prefix of its own on the servers of the session.

A test file asks for them by `from tests.servers.places import *`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.servers.postgres import Postgres
from tests.servers.s3 import KEY_ID, SECRET, S3Server
from warehouse.location import Location
from warehouse.settings import Settings
from warehouse.store import Store

__all__ = ["SharedPlace", "bare_place", "empty_place", "postgres", "s3_server", "shared_place"]


@dataclass(frozen=True)
class SharedPlace:
    """Where a shared warehouse of a test is."""

    home: Path
    database: str
    catalogue: str
    data: str
    endpoint: str

    @property
    def variables(self) -> dict[str, str]:
        """What a process that shares it is started with."""
        return {
            "PILOTHOUSE_CATALOGUE": self.catalogue,
            "PILOTHOUSE_DATA": self.data,
            "PILOTHOUSE_S3_ENDPOINT": f"http://{self.endpoint}",
            "PILOTHOUSE_S3_KEY_ID": KEY_ID,
            "PILOTHOUSE_S3_SECRET": SECRET,
        }

    @property
    def settings(self) -> Settings:
        """The same as settings."""
        return Settings(
            home=self.home,
            catalogue=SecretStr(self.catalogue),
            data=self.data,
            s3_endpoint=f"http://{self.endpoint}",
            s3_key_id=KEY_ID,
            s3_secret=SecretStr(SECRET),
        )

    @property
    def location(self) -> Location:
        """The same as a location."""
        return Location.of(self.settings)

    def by(self, **changes: str) -> SharedPlace:
        """The same place, reached in another way."""
        return replace(self, **changes)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL for this session."""
    server = Postgres()
    yield server
    server.close()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 server for this session; skips where none was made."""
    server = S3Server()
    yield server
    server.close()


def place_in(
    home: Path, database: str, data: str, postgres: Postgres, s3_server: S3Server
) -> SharedPlace:
    """A place in a database that is there."""
    return SharedPlace(home, database, postgres.catalogue(database), data, s3_server.endpoint)


@pytest.fixture
def bare_place(postgres: Postgres, s3_server: S3Server, tmp_path: Path) -> SharedPlace:
    """A database and a prefix that nothing is in."""
    database, data = postgres.new_database(), s3_server.new_data()
    return place_in(tmp_path / "home", database, data, postgres, s3_server)


@pytest.fixture(scope="session")
def empty_place(
    postgres: Postgres, s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> SharedPlace:
    """A shared warehouse without a row: copying it is much faster than making all its tables."""
    home, data = tmp_path_factory.mktemp("shared"), s3_server.new_data()
    place = place_in(home, postgres.new_database(), data, postgres, s3_server)
    Store(place.location).close()
    return place


@pytest.fixture
def shared_place(
    empty_place: SharedPlace, postgres: Postgres, s3_server: S3Server, tmp_path: Path
) -> SharedPlace:
    """A shared warehouse without a row, of this test alone."""
    postgres.cut_off(empty_place.database)  # who is connected would keep it from being copied
    database, data = postgres.new_database(empty_place.database), s3_server.new_data()
    moved = f"UPDATE ducklake_metadata SET value = '{data}/' WHERE key = 'data_path'"
    postgres.run(moved, database)
    return place_in(tmp_path / "home", database, data, postgres, s3_server)
