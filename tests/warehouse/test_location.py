"""Where the settings say that a warehouse is; nothing of it tells a secret."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pydantic import SecretStr

from warehouse import causes
from warehouse.errors import Conflict, NotStored, Refused, Unreachable
from warehouse.location import Location
from warehouse.settings import Settings
from warehouse.store import Store

PASSWORD = "p'w d\\1@:/x"
IN_A_URI = "p%27w%20d%5C1%40%3A%2Fx"


def located(tmp_path: Path, **changes: Any) -> Location:
    given = {"home": tmp_path, "data": "s3://lake/a/b/"} | changes
    if "catalogue" in given:
        given["catalogue"] = SecretStr(given["catalogue"])
    return Location.of(Settings(**given))


def test_without_settings_it_is_in_the_home_and_one_process_has_it(tmp_path: Path) -> None:
    found = located(tmp_path, data="")
    assert found == Location.embedded(tmp_path)
    assert not found.is_shared


def test_memory_is_bounded_and_what_does_not_fit_goes_into_the_home(tmp_path: Path) -> None:
    where = located(tmp_path, data="", memory_megabytes=256)
    with closing(Store(where)) as store:
        bound, spill = store.query(
            "SELECT current_setting('memory_limit'), current_setting('temp_directory')"
        ).row(0)
    assert bound == "256.0 MiB"
    assert spill == str(tmp_path / "tmp")


@pytest.mark.parametrize(
    "given",
    [
        r"postgres:host=db port=5433 user=keeper dbname=lake password='p\'w d\\1@:/x'",
        f"postgresql://keeper:{IN_A_URI}@db:5433/lake",
        f"postgres://keeper:{IN_A_URI}@db:5433/lake",
    ],
)
def test_a_catalogue_is_understood_in_each_way_it_may_be_written_and_its_password_kept_apart(
    tmp_path: Path, given: str
) -> None:
    found = located(tmp_path, catalogue=given)
    assert found.is_shared
    assert found.is_on_s3
    assert found.catalogue.startswith("postgres:host=db port=5433 user=keeper dbname=lake ")
    assert found.password == SecretStr(PASSWORD)
    assert found.data == "s3://lake/a/b/"
    for words in (repr(found), found.words, repr(Settings(catalogue=SecretStr(given)))):
        assert PASSWORD not in words
        assert IN_A_URI not in words


def test_patience_with_the_network_is_bounded_unless_it_is_said(tmp_path: Path) -> None:
    found = located(tmp_path, catalogue="postgres:dbname=lake connect_timeout=3")
    assert "connect_timeout=3" in found.catalogue
    assert "keepalives_idle=30" in found.catalogue
    from_uri = located(tmp_path, catalogue="postgresql://a@h/lake?sslmode=verify-full")
    assert "sslmode=verify-full" in from_uri.catalogue


def test_secrets_may_be_in_files(tmp_path: Path) -> None:
    for name in ("of-catalogue", "of-s3"):
        (tmp_path / name).write_text(f"{name}\n")
    found = located(
        tmp_path,
        catalogue="postgres:dbname=lake",
        catalogue_password_file=tmp_path / "of-catalogue",
        s3_key_id="id",
        s3_secret_file=tmp_path / "of-s3",
    )
    assert found.password == SecretStr("of-catalogue")
    assert found.s3
    assert found.s3.secret == SecretStr("of-s3")
    assert found.scrubbed("say of-s3, of-catalogue") == "say ***, ***"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"catalogue": "postgres:dbname=lake", "data": ""}, "DATA says nothing"),
        ({"catalogue": "postgres:host=db"}, "names no database"),
        ({"catalogue": "mysql:dbname=lake"}, "is no catalogue that is known"),
        ({"catalogue": "postgres:dbname=lake and more"}, "libpq's words"),
        ({"catalogue": "postgresql://a:secret@h:port/lake"}, "is no URI that can be read"),
        ({"s3_key_id": "id"}, "go together"),
        ({"s3_key_id": "id", "s3_secret_file": Path("/nowhere")}, "S3_SECRET_FILE is /nowhere"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_in_a_sentence(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(Refused, match=words) as caught:
        located(tmp_path, **changes)
    assert "secret" not in str(caught.value)


def test_an_endpoint_that_is_a_url_says_whether_it_speaks_tls(tmp_path: Path) -> None:
    plain = located(tmp_path, s3_endpoint="http://minio:9000/").s3
    assert plain
    assert (plain.endpoint, plain.use_ssl, plain.url_style) == ("minio:9000", False, "path")
    amazon = located(tmp_path).s3
    assert amazon
    assert (amazon.endpoint, amazon.use_ssl, amazon.url_style) == ("", True, "vhost")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('Failed to commit: Failed to execute query "ROLLBACK": ', Unreachable),
        ("Failed to commit. \nTransaction conflict - attempting to delete", Conflict),
        ("Exceeded the maximum retry count of 200", NotStored),
    ],
)
def test_a_commit_that_failed_is_told_by_its_cause(
    tmp_path: Path, text: str, error: type[Exception]
) -> None:
    place = located(tmp_path, catalogue="postgres:dbname=lake")
    found = causes.why_not_written(place, duckdb.TransactionException(text))
    assert isinstance(found, error)
    assert causes.is_settled(duckdb.TransactionException(text)) is (error is not Unreachable)
