"""RunPod's prices by REST (`runpod_catalogue`), which is preferred where there is a key."""

from __future__ import annotations

import pytest

from collectors.base import EmptyAnswer, Malformed, Note, RateLimited, Refused, Unreachable
from tests.collectors.market_server import (
    CATALOGUE,
    GRAPHQL,
    Market,
    Reply,
    make_catalogue_gpu,
    said,
)
from tests.collectors.test_runpod import collected, offers

KEY = "rp-s3cret"


def test_with_a_key_the_catalogue_is_preferred_and_graphql_adds_what_only_it_knows():
    market = Market().always(
        CATALOGUE,
        said({"gpus": [make_catalogue_gpu(price={"secure": 2.89, "community": 2.59})]}),
    )
    found = offers(market, api_key=KEY)
    on_demand = [o for o in found if o.price_kind == "on_demand"]
    assert [(o.tier, o.price_usd_per_gpu_hour, o.max_gpu_count) for o in on_demand] == [
        ("secure", 2.89, 8),
        ("community", 2.59, 4),
    ]
    assert {o.stock for o in on_demand} == {"high"}
    assert {o.price_kind for o in found} == {"on_demand", "spot", "spot_bid", "reserved"}
    (catalogue,), (query,) = market.asked(CATALOGUE), market.asked(GRAPHQL)
    assert catalogue.headers["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in query.headers


def test_the_catalogue_may_be_a_bare_list_and_count_once_for_both_clouds():
    gpu = make_catalogue_gpu(maxCount=6, community=False, availability=None)
    found = [
        o
        for o in offers(Market().always(CATALOGUE, said([gpu])), api_key=KEY)
        if o.price_kind == "on_demand"
    ]
    assert [(o.tier, o.max_gpu_count, o.stock) for o in found] == [("secure", 6, None)]


def test_what_graphql_lacks_is_said_and_the_catalogues_prices_stay():
    market = Market().always(GRAPHQL, Reply(status=500))
    rows = collected(market, api_key=KEY)
    assert [r.price_kind for r in rows[:-1]] == ["on_demand"] * 2
    assert isinstance(rows[-1], Note)


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (
            Reply(
                b'{"type":"about:blank","title":"Unauthorized","status":401,"detail":"bad key"}',
                401,
                {"Content-Type": "application/problem+json"},
            ),
            Refused,
            "Unauthorized: bad key.*PILOTHOUSE_RUNPOD_API_KEY",
        ),
        (Reply(b"", 429, {"Retry-After": "5"}), RateLimited, "too often"),
        (Reply(b'{"title":"Maintenance"}', 503), Unreachable, "Maintenance"),
        (said({"gpus": []}), EmptyAnswer, "without one GPU type"),
        (said({"other": []}), Malformed, "gpus"),
        (said({"gpus": [make_catalogue_gpu(price=None)]}), Malformed, r"gpus\[0\].price"),
    ],
)
def test_a_catalogue_that_is_none_fails_the_run_and_the_key_is_never_told(reply, error, words):
    with pytest.raises(error, match=words) as caught:
        collected(Market().always(CATALOGUE, reply), api_key=KEY)
    assert KEY not in str(caught.value)
