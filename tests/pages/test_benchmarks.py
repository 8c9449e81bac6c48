"""Benchmarks: where we stand, why, over time, and what other weights would do."""

from __future__ import annotations

import io
import json
from base64 import b64decode
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dash import no_update

from engine.market.round import MarketRound
from pages import _benchmarks_words as said
from pages._benchmarks_history import thinned
from pages._context import Context, NotAllowed, context, set_context
from tests.makers import NOON, make_offer, make_pool, make_pool_state
from tests.pages.conftest import Console, ids_in, pressed, words_in
from warehouse import score_weights
from warehouse.clock import FleetClock
from warehouse.metric_catalogue import GROUPS, METRICS, US
from warehouse.records import BenchmarkScore, MarketMetric
from warehouse.settings import Settings
from warehouse.store import Location, Store

THIN = "\u202f"
LATER = NOON + timedelta(hours=2)
SOURCES = (("runpod", 2.4), ("lambda", 2.6), ("vast", 2.0))


@pytest.fixture(autouse=True)
def by_the_wall(console: Console) -> None:
    """Scores go by the collectors' clock, which stands two hours after noon here."""
    clock = FleetClock(LATER, speed=0.0)
    set_context(Context(console.store, clock, lambda: console.status, clock))


def market_round(store: Store, home: Path) -> None:
    assert MarketRound(store, FleetClock(NOON, speed=0.0), Settings(home=home)).run()


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What a round over offers of three sources, documents and a pool of ours writes."""
    home = tmp_path_factory.mktemp("market")
    store = Store(Location.embedded(home))
    offers = [
        make_offer(provider=who, source=who, offer_id=f"{who}-{gpus}", gpu_count=gpus,
                   price_usd_per_gpu_hour=price, tier="secure", stock="high")
        for who, price in SOURCES
        for gpus in (1, 8)
    ]  # fmt: skip
    store.append([*offers, make_pool(gpu_memory_bytes=None), make_pool_state()])
    market_round(store, home)
    found = [*offers[:1], *_rows_of(store, MarketMetric), *_rows_of(store, BenchmarkScore)]
    store.close()
    return found


def _rows_of(store: Store, kind: Any) -> list[Any]:
    table = "market_metrics" if kind is MarketMetric else "benchmark_scores"
    return store.rows(kind, f"SELECT * FROM {table}")


@pytest.fixture
def filled(console: Console, scored: list[Any]) -> Console:
    console.store.append(scored)
    return console


def overall_of(console: Console) -> dict[str, tuple[float | None, int | None]]:
    cards = console.page("benchmarks").cards().filter(name="overall")
    return {row["provider"]: (row["score"], row["rank"]) for row in cards.iter_rows(named=True)}


def fields(console: Console, **changed: float | str) -> dict[str, Any]:
    """What the browser sends of the weights' fields, some of them changed."""
    in_use = score_weights.weights(console.store)
    drawn = {"groups": in_use.groups, "metrics": in_use.metrics}
    ids = [
        {"name": name, "of": of, "type": "benchmarks-weight"} for of in drawn for name in drawn[of]
    ]
    values = [(each, changed.get(each["name"], drawn[each["of"]][each["name"]])) for each in ids]
    return {
        "benchmarks-weight.value": values,
        "benchmarks-weight.id": [(each, each) for each in ids],
        "benchmarks-drawn.data": drawn,
    }


def saved(console: Console, **changed: float | str) -> Any:
    given = fields(console, **changed)
    given |= {"benchmarks-save.n_clicks": 1, "benchmarks-reason.value": "price is all"}
    return console.call("benchmarks-weights.children", given, "benchmarks-save.n_clicks")


def preview(console: Console, **changed: float | str) -> str:
    given = fields(console, **changed)
    return words_in(console.call("benchmarks-preview.children", given))


# -- where we stand --------------------------------------------------------------------


def test_before_the_first_round_it_is_said_how_sources_are_switched_on(console: Console) -> None:
    words = words_in(console.open("/benchmarks"))
    assert "No scores yet" in words
    told, standing, _ = console.page("benchmarks").show_standing(None)
    assert told is None
    assert "The first round has not run yet" in words_in(standing)
    assert "PILOTHOUSE_LAMBDA_CLOUD_API_KEY" in words_in(standing)
    assert "no score in these 30 days" in words_in(
        console.page("benchmarks").show_history(None, None, None, None)
    )


def test_without_offers_documents_are_shown_as_such(console: Console, tmp_path: Path) -> None:
    market_round(console.store, tmp_path)
    told, standing, cards = map(words_in, console.page("benchmarks").show_standing(None))
    assert "Known from documents alone" in told
    assert "PILOTHOUSE_VAST_ENABLED=true" in told
    assert "Withheld" in standing
    assert "Nothing is known of us yet" in standing
    assert f"withheld: 40{THIN}% must be known" in standing
    assert "no rank" in cards
    console.store.append([make_offer(source="import:somebody", measured_at=NOON)])
    assert console.page("benchmarks").show_standing(None)[0] is not None


def test_our_score_rank_and_what_holds_us_back_come_first(filled: Console) -> None:
    told, standing, _ = filled.page("benchmarks").show_standing(None)
    words, (score, rank) = words_in(standing), overall_of(filled)[US]
    assert told is None
    assert score is not None
    assert f"{score:.1f}" in words
    assert f" {rank} " in words
    assert "Regions" in words.split("What holds us back")[1]
    assert "Not known of us" in words
    assert "together" in words
    assert f"Scored 2{THIN}h ago" in words_in(filled.open("/benchmarks"))


def test_every_provider_has_a_card_with_its_known_share(filled: Console) -> None:
    _, _, cards = filled.page("benchmarks").show_standing(None)
    words = words_in(cards)
    for provider, (score, _rank) in overall_of(filled).items():
        assert said.provider_words(provider) in words
        assert (f"{score:.1f}" if score is not None else "Withheld") in words
    assert f"{THIN}% of the weight is known" in words
    assert "unknown" in words
    assert f"/benchmarks?score={US}~network_storage" in words


# -- tables ----------------------------------------------------------------------------


def test_every_metric_stands_with_unit_value_and_evidence(filled: Console) -> None:
    _, table, _ = filled.page("benchmarks").show_tables(None, None, None)
    words = words_in(table)
    for metric in METRICS.values():
        assert metric.label in words
    assert "/benchmarks?score=lambda~on_demand_price" in words
    assert "less is better" in words
    assert "not scored" in words
    assert "unknown" in words
    assert "documented" in words


def test_groups_and_providers_are_picked_by_the_address(filled: Console) -> None:
    head = filled.open("/benchmarks", "?group=terms&providers=vast,nobody,us")
    assert "terms" in json.dumps(head)
    page = filled.page("benchmarks")
    chart, table, moved = page.show_tables(None, ["vast", US], "terms")
    words = words_in(table)
    assert "Billing granularity" in words
    assert "On-demand price" not in words
    assert "Lambda" not in words
    assert "Lambda" not in words_in(chart)
    assert "Vast.ai" in words_in(moved)


def test_sensitivity_says_whether_our_rank_hangs_on_a_weight(filled: Console) -> None:
    moved = words_in(filled.page("benchmarks").show_tables(None, None, None)[2])
    assert "As it is" in moved
    assert f"Price −50{THIN}%" in moved
    assert f"Terms +50{THIN}%" in moved
    rank = overall_of(filled)[US][1]
    assert f"Our rank is {rank}" in moved


# -- why -------------------------------------------------------------------------------


def why(console: Console, provider: str, name: str) -> str:
    return words_in(console.page("benchmarks").show_why(f"{provider}~{name}", None))


def test_a_number_is_explained_down_to_its_rows(filled: Console) -> None:
    words = why(filled, US, "overall")
    assert "is the mean of the groups" in words
    assert f"/benchmarks?score={US}~price" in words
    assert "On-demand price" in why(filled, US, "price")
    price = why(filled, "runpod", "on_demand_price")
    assert "/api/v1/market/offers?provider=runpod" in price
    assert "H100 SXM" in price
    assert "$2.40" in price
    assert "Its scale" in price


def test_what_documents_say_leads_to_the_document_and_its_date(filled: Console) -> None:
    words = why(filled, "lambda", "billing_granularity")
    assert "https://docs.lambda.ai/public-cloud/billing" in words
    assert "read 2026-11-23" in words


def test_what_our_rows_say_shows_the_question_and_the_unknown_why(filled: Console) -> None:
    ours = why(filled, US, "availability_rate")
    assert "FROM pool_states" in ours
    assert "None to None" not in ours
    assert "no row and no documentation tells" in why(filled, US, "upload")
    assert "not scored" in why(filled, US, "utilisation")


def test_an_address_that_asks_for_no_score_is_told_so(filled: Console) -> None:
    assert "No such score" in why(filled, "nobody", "price")
    assert filled.page("benchmarks").show_why("us~charm", None) == (no_update, no_update)


# -- over time -------------------------------------------------------------------------


def test_scores_over_time_are_a_line_a_provider(filled: Console) -> None:
    words = words_in(filled.page("benchmarks").show_history(None, None, "price", "7"))
    assert "1 round kept" in words
    assert "Vast.ai" in words
    assert "stepAfter" in words


def test_a_long_history_is_thinned_and_keeps_its_newest_round() -> None:
    wide = pl.DataFrame({"scored_at": range(1000)})
    few = thinned(wide, 300)["scored_at"].to_list()
    assert len(few) <= 300
    assert few[-1] == 999
    assert few == sorted(few)
    assert thinned(wide, 1000).height == 1000


# -- weights ---------------------------------------------------------------------------


def test_weights_are_previewed_before_they_are_saved(filled: Console) -> None:
    assert "As it is" in preview(filled)
    tried = preview(filled, price=1.0, performance=0.0, availability=0.0, reliability=0.0,
                    network_storage=0.0, terms=0.0)  # fmt: skip
    assert "Not saved yet" in tried
    cards = filled.page("benchmarks").cards()
    best = cards.filter(pl.col("name") == "price").sort("score")["score"].max()
    assert f"{best:.1f}" in tried
    assert "can't be saved" in preview(filled, price="")
    assert score_weights.weights(filled.store).set_by is None


def test_a_metrics_weight_moves_the_preview_too(filled: Console) -> None:
    others = {name: 0.0 for name in GROUPS if name != "availability"}
    one = {each.name: 0.0 for each in METRICS.values() if each.group == "availability"}
    tried = preview(filled, **{**others, **one, "regions": 1.0, "availability": 1.0})
    assert "10.0" in tried  # one region scores 10


def test_saved_weights_are_on_record_and_leave_what_others_changed(filled: Console) -> None:
    stale = fields(filled, price=0.6)
    score_weights.set_weights(
        filled.store, {"groups": {"terms": 0.2}}, by="jon", reason=None, now=NOON
    )
    given = stale | {"benchmarks-save.n_clicks": 1, "benchmarks-reason.value": "price is all"}
    answer = filled.call("benchmarks-weights.children", given, "benchmarks-save.n_clicks")
    assert "1 changed by mara" in json.dumps(answer)
    found = score_weights.weights(filled.store)
    assert (found.groups["price"], found.groups["terms"]) == (0.6, 0.2)
    assert (found.set_by, found.reason) == ("mara", "price is all")
    events = filled.store.query("SELECT actor, target FROM audit_events")
    assert ("mara", score_weights.CONTROL) in events.rows()
    assert "Nothing to save" in json.dumps(saved(filled))


def test_an_empty_weight_is_refused_with_a_word(filled: Console) -> None:
    assert "is a number from 0" in json.dumps(saved(filled, price=""))
    assert score_weights.weights(filled.store).set_by is None


def test_defaults_are_filled_in_and_not_saved(filled: Console) -> None:
    score_weights.set_weights(
        filled.store, {"groups": {"price": 0.9}}, by="jon", reason=None, now=NOON
    )
    given = fields(filled) | {"benchmarks-defaults.n_clicks": 1}
    ids = [each for each, _ in given["benchmarks-weight.id"]]
    filled_in = filled.page("benchmarks").register.__globals__["fill_in_defaults"](1, ids)
    assert filled_in[ids.index({"name": "price", "of": "groups", "type": ids[0]["type"]})] == 0.3
    assert score_weights.weights(filled.store).groups["price"] == 0.9


def test_viewers_see_the_weights_and_set_none(filled: Console) -> None:
    with filled.asked_by("viewer"):
        shown = filled.open("/benchmarks")
        assert "benchmarks-save" not in ids_in(shown)
        assert "benchmarks-weight" not in ids_in(shown)
        assert "Setting weights takes the role operator." in words_in(shown)
        assert "Weight in its group" in words_in(shown)
        save = filled.page("benchmarks").register.__globals__["save"]
        with pytest.raises(NotAllowed):
            save(1, [0.9], [{"of": "groups", "name": "price"}], None, None)
    with filled.asked_by("operator"):
        assert "benchmarks-save" in ids_in(filled.open("/benchmarks"))


# -- staying up to date, taking home ---------------------------------------------------


def test_it_is_drawn_anew_only_where_a_new_round_came(filled: Console) -> None:
    page = filled.page("benchmarks")
    mark = page._round()
    assert filled.call(
        "benchmarks-round.data",
        {"benchmarks-round.data": mark, "benchmarks-slow.n_intervals": 1},
    )["response"].keys() == {"benchmarks-age"}
    score_weights.set_weights(
        filled.store, {"groups": {"price": 0.9}}, by="jon", reason=None, now=NOON
    )
    assert page.look_again(1, mark)[0] != mark
    assert context().now() == LATER


@pytest.mark.parametrize("table", ["scores", "metrics", "history", "sensitivity", "weights"])
def test_every_table_is_downloaded_as_csv_and_parquet(filled: Console, table: str) -> None:
    frames = []
    for kind in ("csv", "parquet"):
        given, changed = pressed("benchmarks-download", table=table, file=kind)
        sent = filled.call("benchmarks-file.data", given, changed)["response"]
        file = sent["benchmarks-file"]["data"]
        assert file["filename"].startswith(f"benchmark-{table}-")
        content = b64decode(file["content"]) if file["base64"] else file["content"].encode()
        read = pl.read_csv if kind == "csv" else pl.read_parquet
        frames.append(read(io.BytesIO(content)))
    assert frames[0].columns == frames[1].columns
    assert frames[0].height == frames[1].height > 0


def test_values_are_written_as_people_read_them() -> None:
    shown = {
        (0.9999, "ratio"): f"99.99{THIN}%",
        (0.93, "ratio to the others' median"): f"0.93{THIN}×",
        (60, "seconds"): f"60{THIN}s",
        (0.02, "USD/GB"): "$0.020/GB",
        (0, "USD/GB"): "$0/GB",
        (3200, "Gbit/s"): "3,200 Gbit/s",
        (1, "regions"): "1 region",
        (None, "ratio"): "unknown",
    }
    assert {key: said.value_words(*key) for key in shown} == shown
