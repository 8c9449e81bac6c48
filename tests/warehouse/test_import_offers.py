"""Importing a market's history: what can be compared, what is left out and why, and only once."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime

import polars as pl
import pytest

import app
from tests.conftest import NOON
from warehouse.import_layouts import AGGREGATE_COLUMNS, PRICE_COLUMNS, NotUnderstood, read
from warehouse.import_offers import import_table, main
from warehouse.records import MarketPercentile, Offer
from warehouse.store import Location, Store

SEEN_AT = datetime(2025, 10, 19, 21, 1, 58, tzinfo=UTC)


def price_row(**changes):
    return {
        "date": date(2025, 10, 19),
        "provider": "aws",
        "instance_type": "p5.48xlarge",
        "accelerator_name": "H100 SXM5",
        "accelerator_count": 8.0,
        "vcpus": 192.0,
        "memory_gib": 2048.0,
        "price_usd_hour": 55.04,
        "spot_price_usd_hour": None,
        "region": "us-east-1",
        "ts_utc": SEEN_AT,
        "accelerator_raw": "H100_80GB SXM5",
        "accelerator_memory_gb": 80.0,
        "price_scope": "instance",
        "tier": "on_demand",
        "source": "somebody",
    } | changes


def prices(*rows) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=PRICE_COLUMNS)


def aggregate_row(**changes):
    values = {name: 2.0 for name in AGGREGATE_COLUMNS if name.startswith("per_gpu")}
    values |= {name: 10 for name in AGGREGATE_COLUMNS if name.startswith("stock")}
    return (
        values
        | {
            "ts_utc": SEEN_AT,
            "accelerator_raw": "H100_80GB SXM5",
            "accelerator_name": "H100 SXM5",
            "accelerator_memory_gb": 80.0,
            "source": "somebody",
        }
        | changes
    )


def test_the_price_of_an_instance_becomes_an_offer_of_an_imported_source(store):
    done = import_table(store, prices(price_row()), NOON)
    (offer,) = store.rows(Offer, "SELECT * FROM offers")
    assert (offer.price_usd_per_gpu_hour, offer.instance_price_usd_per_hour) == (6.88, 55.04)
    assert (offer.quoted_unit, offer.gpu_count, offer.model) == ("instance", 8, "H100 SXM")
    assert (offer.source, offer.measured_at, offer.stored_at) == ("import:somebody", SEEN_AT, NOON)
    assert (offer.price_kind, offer.gpu_memory_bytes) == ("on_demand", 80 * 2**30)
    assert (done.offers, done.percentiles, done.left_out) == (1, 0, {})


def test_scopes_are_never_mixed_and_what_cannot_be_compared_is_counted_by_reason(store):
    spot = {"tier": "spot", "price_usd_hour": None, "spot_price_usd_hour": 20.0}
    rows = [
        price_row(**spot),
        price_row(tier="community", ts_utc=None),
        price_row(price_scope="instance_cheapest_in_market"),
        price_row(price_scope="per_gpu_min_over_offers", price_usd_hour=2.1, accelerator_count=1.0),
        price_row(price_scope="instance_unknown_gpu_count", accelerator_count=None),
        price_row(price_scope="new_scope"),
        price_row(tier="marketplace"),
        price_row(accelerator_raw="H100", accelerator_name="H100"),
        price_row(accelerator_raw="H100 PCIe"),
        price_row(price_usd_hour=0.0),
        price_row(price_usd_hour=float("nan")),
        price_row(price_usd_hour=5504.0),
        price_row(price_usd_hour=None),
        price_row(accelerator_count=None),
        price_row(accelerator_count=0.5),
    ]
    done = import_table(store, prices(*rows), NOON)
    offers = store.rows(Offer, "SELECT * FROM offers ORDER BY price_kind")
    assert [(o.price_kind, o.tier, o.price_usd_per_gpu_hour) for o in offers] == [
        ("on_demand", "community", 6.88),
        ("spot", None, 2.5),
    ]
    assert offers[0].measured_at == datetime(2025, 10, 19, tzinfo=UTC)
    lowest = store.rows(MarketPercentile, "SELECT * FROM market_percentiles ORDER BY scope")
    assert [(p.scope, p.provider, p.price_kind, p.lowest_usd_per_gpu_hour) for p in lowest] == [
        ("market_lowest", "aws", "on_demand", 6.88),
        ("provider_lowest", "aws", "mixed", 2.1),
    ]
    assert done.left_out == {
        "the price of an instance whose number of GPUs is lost": 1,
        "a price_scope that isn't known": 1,
        "a tier that is neither on demand nor spot for certain": 1,
        "the GPU's name isn't known for certain": 2,
        "a price that is none": 3,
        "no price": 1,
        "no whole number of GPUs": 2,
    }
    assert "2 left out: the GPU's name isn't known for certain" in done.in_words()


def test_percentiles_become_a_history_of_their_own(store):
    rows = [aggregate_row(), aggregate_row(accelerator_raw="H100", accelerator_name="H100")]
    done = import_table(store, pl.DataFrame(rows, schema=AGGREGATE_COLUMNS), NOON)
    (row,) = store.rows(MarketPercentile, "SELECT * FROM market_percentiles")
    assert (row.scope, row.provider, row.model, row.price_kind) == (
        "market",
        None,
        "H100 SXM",
        "mixed",
    )
    assert (row.median_usd_per_gpu_hour, row.offers, row.offers_in_stock) == (2.0, 10, 10)
    assert done.left_out == {"the GPU's name isn't known for certain": 1}


def test_what_was_imported_is_never_imported_twice(store):
    table = prices(price_row(), price_row(), price_row(region="eu-west-1"))
    assert import_table(store, table, NOON).offers == 2
    again = import_table(store, pl.concat([table, prices(price_row(region="x"))]), NOON)
    assert (again.offers, again.known_already) == (1, 2)
    assert store.query("SELECT count(*) AS n FROM offers").item() == 3


def test_a_bar_shows_how_far_it_is(store):
    shown = io.StringIO()
    import_table(store, prices(price_row()), NOON, progress=shown)
    assert shown.getvalue() == f"\roffers [{'#' * 30}] 1 of 1\n"


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (None, "can't be read"),
        (lambda path: path.write_text("prices"), "isn't a Parquet file"),
        (lambda path: prices().drop("tier").write_parquet(path), "lacks the column tier"),
        (
            lambda path: (
                prices(price_row())
                .with_columns(pl.lit("free").alias("price_usd_hour"))
                .write_parquet(path)
            ),
            "column of another type",
        ),
    ],
)
def test_a_wrong_file_is_told_in_words(tmp_path, write, words):
    path = tmp_path / "offers.parquet"
    if write:
        write(path)
    with pytest.raises(NotUnderstood, match=words):
        read(path)


def test_the_command_prints_what_it_did(tmp_path, capsys):
    path, home = tmp_path / "offers.parquet", tmp_path / "home"
    prices(price_row()).write_parquet(path)
    assert app.main(["import-offers", str(path), "--home", str(home)]) == 0
    assert "1 offers and 0 percentiles were stored" in capsys.readouterr().out
    assert main([str(tmp_path / "none.parquet"), "--home", str(home)]) == 1
    assert "none.parquet can't be read" in capsys.readouterr().err


def test_the_real_history_is_imported_and_left_out_by_reason(shared, tmp_path):
    folder = shared / "market"
    if not folder.is_dir():
        pytest.skip("the recorded prices are not beside the project")
    store = Store(Location.embedded(tmp_path / "real"))
    done = import_table(store, read(folder / "prices.parquet"), NOON)
    taken = import_table(store, read(folder / "aggregates.parquet"), NOON)
    store.close()
    assert done.offers > 300
    assert done.percentiles > 70_000
    assert done.left_out["the price of an instance whose number of GPUs is lost"] > 40_000
    assert taken.percentiles > 6_000
