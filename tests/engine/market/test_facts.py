"""What documentation says: checked by a schema, each entry with a source and a date."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.market.facts import InvalidFacts, facts, facts_of, facts_with

FACT = "provider: a, metric: egress_price, words: none, source: 'https://a.example/x'"


def test_what_comes_with_the_console_fits_and_claims_are_not_scored() -> None:
    found = facts()
    assert {fact.provider for fact in found.facts} == {"runpod", "lambda", "vast"}
    assert found.of("lambda")["billing_granularity"].value == 60
    assert [f.provider for f in found.facts if f.is_claim] == ["lambda", "vast"]
    assert all(found.of(who)["uptime_sla"].value is None for who in ("runpod", "lambda", "vast"))


def test_a_data_sheet_is_found_by_the_whole_name_or_by_its_family() -> None:
    found = facts()
    assert (found.teraflops("H100 PCIe"), found.teraflops("A100 SXM 80GB")) == (756, 312)
    assert (found.teraflops("A1000"), found.teraflops("RTX 4090")) == (None, None)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (f"{FACT}, read_on: '2026-13'", "month must be"),
        (f"{FACT}, read_on: 'lately'", "must be a day or a month"),
        (FACT, "read_on"),
        (f"{FACT}, read_on: '2026-11', value: -1", "greater than or equal"),
        (f"{FACT}, read_on: '2026-11', value: 1, is_claim: true", "a claim has no value"),
        (f"{FACT}, read_on: '2026-11', charm: 1", "charm"),
        (FACT.replace("egress_price", "charm") + ", read_on: '2026-11'", "there is no metric"),
        (FACT.replace("https", "http") + ", read_on: '2026-11'", "must be an https"),
    ],
)
def test_an_entry_that_does_not_fit_is_named(entry: str, why: str) -> None:
    with pytest.raises(InvalidFacts, match=why):
        facts_of(f"facts: [{{{entry}}}]")


def test_nothing_is_said_twice_and_what_is_no_yaml_is_told() -> None:
    entry = f"{{{FACT}, read_on: '2026-11'}}"
    with pytest.raises(InvalidFacts, match="said twice"):
        facts_of(f"facts: [{entry}, {entry}]")
    with pytest.raises(InvalidFacts, match="is not YAML"):
        facts_of("facts: [")


def test_a_file_of_ones_own_adds_to_the_facts_and_corrects_them(tmp_path: Path) -> None:
    file = tmp_path / "market_facts.yaml"
    assert facts_with(file) is facts()
    ours = FACT.replace("provider: a", "provider: us") + ", value: 0, read_on: '2026-11'"
    theirs = FACT.replace("provider: a", "provider: runpod") + ", value: 0.01, read_on: '2026-11'"
    file.write_text(f"facts: [{{{ours}}}, {{{theirs}}}]")
    found = facts_with(file)
    assert found.of("us")["egress_price"].value == 0
    assert found.of("runpod")["egress_price"].value == 0.01
    assert found.of("runpod")["spend_limit"].value == 80
    assert found.teraflops("H200") == 989
