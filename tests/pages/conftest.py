"""The real pages on a real warehouse, answered by Dash over HTTP; only the clock stands still."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from pages._context import ConsoleStatus, Context, set_context
from pages._kept import Kept
from pages._shell import create_pages
from tests.makers import NOON
from warehouse.analyst import Analyst
from warehouse.analyst_question import Limits
from warehouse.analyst_source import Source
from warehouse.clock import FleetClock
from warehouse.people import Person, current_person
from warehouse.records import Role
from warehouse.store import Location, Store


class Door:
    """Sets who asks, as the console's own door does."""

    def __init__(self, app: Any, desk: Desk) -> None:
        self.app = app
        self.desk = desk

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        token = current_person.set(self.desk.console.person if self.desk.console else None)
        try:
            await self.app(scope, receive, send)
        finally:
            current_person.reset(token)


@dataclass
class Console:
    store: Store
    status: ConsoleStatus
    client: TestClient
    person: Person | None = None

    def page(self, name: str) -> ModuleType:
        """A page as Dash executed it; importing it would register its callbacks twice."""
        return sys.modules[f"pages.{name}"]

    @contextmanager
    def asked_by(self, role: Role) -> Iterator[None]:
        """Whoever asks inside has this role."""
        self.person = Person("mara", role, "browser")
        token = current_person.set(self.person)
        try:
            yield
        finally:
            current_person.reset(token)

    def callbacks(self) -> list[dict[str, Any]]:
        return self.client.get("/_dash-dependencies").json()

    def layout_ids(self) -> set[str]:
        """The ids of the frame and of every page's layout."""
        found = ids_in(self.client.get("/_dash-layout").json())
        paths = "/ /fleet /jobs /tenants /decisions /engine /market /benchmarks /finance /sql"
        paths += " /admin"
        for path in paths.split():
            found |= ids_in(self.open(path))
        return found

    def open(self, path: str, search: str = "") -> Any:
        """The content of a page, as Dash's router sends it to the browser."""
        sent = self.call(
            "_pages_content.children",
            {"_pages_location.pathname": path, "_pages_location.search": search},
        )
        return sent["response"]["_pages_content"]["children"]

    def call(self, output: str, given: dict[str, Any], changed: str | None = None) -> Any:
        """Call the callback that writes `output` as the browser does; `given` by `id.property`."""
        found = next(
            each
            for each in self.callbacks()
            if output in _plain(each["output"]) and (changed is None or _hears(each, changed))
        )
        fill = lambda wanted: [_filled(each, given) for each in wanted]  # noqa: E731
        body = {
            "output": found["output"],
            "outputs": _outputs(found["output"]),
            "inputs": fill(found["inputs"]),
            "state": fill(found["state"]),
            "changedPropIds": [changed] if changed else [],
        }
        answer = self.client.post("/_dash-update-component", json=body)
        if answer.status_code == 204:
            return None
        assert answer.status_code == 200, answer.text
        return answer.json()


def _plain(output: str) -> list[str]:
    return [each.split("@")[0] for each in output.strip(".").split("...")]


def _hears(registered: dict[str, Any], changed: str) -> bool:
    """Whether a callback is called when this `id.property` changes."""
    kind = json.loads(changed.rsplit(".", 1)[0])["type"] if changed.startswith("{") else None
    return any(
        f"{each['id']}.{each['property']}" == changed
        or (kind is not None and f'"{kind}"' in each["id"])
        for each in registered["inputs"]
    )


def _outputs(output: str) -> Any:
    many = [
        {"id": each.rsplit(".", 1)[0], "property": each.rsplit(".", 1)[1]}
        for each in output.strip(".").split("...")
    ]
    return many if output.startswith("..") else many[0]


def _filled(wanted: dict[str, str], given: dict[str, Any]) -> Any:
    if wanted["id"].startswith("{"):
        kind = json.loads(wanted["id"])["type"]
        return [
            {"id": key, "property": wanted["property"], "value": value}
            for key, value in given.get(f"{kind}.{wanted['property']}", [])
        ]
    name = f"{wanted['id']}.{wanted['property']}"
    return {"id": wanted["id"], "property": wanted["property"], "value": given.get(name)}


def ids_in(component: Any) -> set[str]:
    """Every id in a layout as JSON; of a pattern's id its type."""
    if isinstance(component, list):
        return set().union(*(ids_in(each) for each in component)) if component else set()
    if not isinstance(component, dict):
        return set()
    own = component.get("props", {}).get("id") if "props" in component else None
    found = {own["type"] if isinstance(own, dict) else own} if own else set()
    return found.union(*(ids_in(value) for value in component.values()))


def pressed(kind: str, **parts: str) -> tuple[dict[str, Any], str]:
    """What the browser sends when a button with a pattern's id is pressed."""
    button = {**parts, "type": kind}
    name = json.dumps(button, sort_keys=True, separators=(",", ":"))
    return {f"{kind}.n_clicks": [(button, 1)]}, f"{name}.n_clicks"


def words_in(component: Any) -> str:
    """All the words of a component, one after the other."""
    if hasattr(component, "to_plotly_json"):
        return words_in(component.to_plotly_json())
    if isinstance(component, dict):
        return " ".join(words_in(value) for value in component.get("props", component).values())
    if isinstance(component, (list, tuple)):
        return " ".join(words_in(each) for each in component)
    return component if isinstance(component, str) else ""


class Desk:
    """Where the console of the test that runs now lies; the server looks here who asks."""

    console: Console | None = None


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Desk]]:
    """The pages on a server, made once; each test gives them its own warehouse."""
    store = Store(Location.embedded(tmp_path_factory.mktemp("pages")))
    status = ConsoleStatus(True, "", NOON, 1.0, 1.0, True)
    server, desk = FastAPI(), Desk()
    create_pages(server, Context(store, FleetClock(NOON, speed=0.0), lambda: status))
    server.add_middleware(Door, desk=desk)
    with TestClient(server) as client:
        client.get("/_dash-layout").raise_for_status()  # Dash takes the callbacks up at the first
        yield client, desk
    store.close()


@pytest.fixture
def console(store: Store, served: tuple[TestClient, Desk], tmp_path: Path) -> Iterator[Console]:
    client, desk = served
    made = Console(store, ConsoleStatus(True, "made for a test", NOON, 30.0, 1.0, True), client)
    clock = FleetClock(NOON, speed=0.0)
    analyst = Analyst(store, Source(""), tmp_path / "questions", clock, clock, Limits())
    anew = Kept(is_on=False)  # the clock stands still, and each question is to be asked
    set_context(Context(store, clock, lambda: made.status, analyst=analyst, kept=anew))
    desk.console = made
    with made.asked_by("admin"):
        yield made
    desk.console = None
    analyst.close()


@pytest.fixture
def loading(console: Console) -> Console:
    """A console whose history is being produced."""
    console.status = replace(console.status, is_ready=False, history_progress_ratio=0.43)
    return console
