"""The settings: defaults, the environment, what is refused, and the page that lists them."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import BaseModel, Field, ValidationError

from warehouse.settings import PREFIX, Settings, settings_markdown


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)


class Sizes(BaseModel):
    """The settings of some collector."""

    models: tuple[str, ...] = Field(("A", "B"), description="Which models\n  to ask for.")
    is_on: bool = Field(True, description="Whether it runs.")
    api_key: str | None = Field(None, description="Sent as a bearer token.")


def table_row(page: str, variable: str) -> list[str]:
    (line,) = [line for line in page.splitlines() if line.startswith(f"| `{variable}` |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_without_any_setting_it_listens_on_loopback_and_simulates_a_fleet() -> None:
    settings = Settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8050)
    assert (settings.fleet, settings.seed, settings.history_days) == ("simulated", 7, 14.0)
    assert (settings.admin_password, settings.trace, settings.live_from) == (None, None, None)
    assert not settings.is_behind_https
    assert not settings.metrics_are_open


def test_the_home_follows_the_desktops_convention(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().home == Path.home() / ".local" / "share" / "pilothouse"
    monkeypatch.setenv("XDG_DATA_HOME", "/srv/data")
    assert Settings().home == Path("/srv/data/pilothouse")


def test_the_environment_is_read_by_its_prefix_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "1")
    monkeypatch.setenv("PILOTHOUSE_HOST", "0.0.0.0")
    monkeypatch.setenv("PILOTHOUSE_SPEED", "60")
    monkeypatch.setenv("PILOTHOUSE_LIVE_FROM", "2026-11-02T12:00:00Z")
    monkeypatch.setenv("PILOTHOUSE_VAST_OFFER_LIMIT", "50")  # a collector's, and none of these
    settings = Settings()
    assert (settings.port, settings.host, settings.speed) == (8050, "0.0.0.0", 60.0)
    assert settings.live_from == datetime(2026, 11, 2, 12, tzinfo=UTC)


def test_what_is_given_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTHOUSE_PORT", "9000")
    assert Settings(port=9001).port == 9001


def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTHOUSE_ADMIN_PASSWORD", "correct horse")
    settings = Settings()
    assert settings.admin_password is not None
    assert settings.admin_password.get_secret_value() == "correct horse"
    assert "correct horse" not in f"{settings!r} {settings.model_dump_json()}"


def test_settings_do_not_change_once_they_are_read() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "65536"),
        ("port", "http"),
        ("fleet", "real"),
        ("seed", "-1"),
        ("history_days", "0"),
        ("history_days", "401"),
        ("speed", "3601"),
        ("speed", "nan"),
        ("sample_days", "0"),
        ("live_from", "soon"),
        ("is_behind_https", "perhaps"),
        ("log_level", "loud"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"{PREFIX}{name.upper()}", value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    (error,) = caught.value.errors()
    assert (error["loc"], error["input"]) == ((name,), value)


def test_the_page_has_a_row_for_every_setting_with_its_meaning() -> None:
    page = settings_markdown({})
    for name, field in Settings.model_fields.items():
        variable, _, meaning = table_row(page, f"{PREFIX}{name}".upper())
        assert variable == f"`{PREFIX}{name.upper()}`"
        assert meaning == field.description


def test_the_page_shows_defaults_but_no_machines_home() -> None:
    page = settings_markdown({})
    assert table_row(page, "PILOTHOUSE_PORT")[1] == "`8050`"
    assert table_row(page, "PILOTHOUSE_IS_BEHIND_HTTPS")[1] == "`false`"
    assert table_row(page, "PILOTHOUSE_TRACE")[1] == ""
    assert table_row(page, "PILOTHOUSE_HOME")[1] == "`~/.local/share/pilothouse`"


def test_each_collector_has_its_own_section() -> None:
    page = settings_markdown({"sizes": Sizes})
    assert "## The collector `sizes`" in page
    wanted = ["`PILOTHOUSE_SIZES_MODELS`", "`A,B`", "Which models to ask for."]
    assert table_row(page, "PILOTHOUSE_SIZES_MODELS") == wanted
    assert table_row(page, "PILOTHOUSE_SIZES_IS_ON")[1] == "`true`"
    assert table_row(page, "PILOTHOUSE_SIZES_API_KEY")[1] == ""
