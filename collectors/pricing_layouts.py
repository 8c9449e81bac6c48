"""Reading pricing pages, by what their layouts promise: attributes, roles and labels, no classes.

A page's layout changes without notice, so an empty result is an error and never "no prices".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from collectors.base import EmptyAnswer, Malformed
from collectors.pricing_html import Element, page_of
from warehouse.gpu_names import BYTES_PER_GIBIBYTE, models_like

Tier = Literal["secure", "community"]

NO_PRICE = frozenset(
    {
        "", "-", "\N{EN DASH}", "\N{EM DASH}", "n/a", "na", "null", "none", "contact sales",
        "contact us",
    }
)  # fmt: skip
"""What stands where a price would and says that there is none."""

PRICE = re.compile(
    r"(?:usd\s*)?\$?\s*(-?\d[\d,]*(?:\.\d+)?)"
    r"\s*(?:/\s*(?:gpu\s*/\s*)?(?:hr|h|hour))?\*?"
)
"""An amount of USD, an hour where it says so; anything else beside it is another price."""


@dataclass(frozen=True)
class PagePrice:
    """A price on demand as a page shows it, of one GPU."""

    name: str
    usd_per_gpu_hour: float
    tier: Tier | None = None
    gpu_count: int = 1
    """GPUs in the instance that it is the price of"""
    memory_bytes: int | None = None
    """of one GPU"""


def runpod_prices(html: str) -> list[PagePrice]:
    """RunPod's: in attributes, since what is seen is filled in by a script, or as JSON-LD."""
    page = page_of(html, "RunPod")
    found = list(_runpod_attributes(page)) or list(_runpod_products(page))
    return _some(found, "RunPod")


def lambda_prices(html: str) -> list[PagePrice]:
    """Lambda's: a tab for each number of GPUs, in it a table of labelled cells."""
    page = page_of(html, "Lambda")
    panels = [e for e in page.within() if e.attributes.get("role") == "tabpanel"]
    counts = _tab_counts(page)
    found = [
        price
        for panel in panels
        if (count := counts.get(_tab_of(panel, page)))
        for price in _lambda_rows(panel, count)
    ]
    return _some(found, "Lambda")


def vast_prices(html: str) -> list[PagePrice]:
    """Vast.ai's: a table whose columns are providers; the one of Vast.ai is read, no other."""
    page = page_of(html, "Vast.ai")
    found: list[PagePrice] = []
    for table in (e for e in page.within() if e.tag == "table"):
        found += _vast_rows(table)
    return _some(found, "Vast.ai")


# -- RunPod -----------------------------------------------------------------------------

RUNPOD_ATTRIBUTES: tuple[tuple[str, Tier], ...] = (
    ("data-secure-cloud-price", "secure"),
    ("data-community-cloud-price", "community"),
    ("data-secure", "secure"),
    ("data-community", "community"),
)


def _runpod_attributes(page: Element) -> Iterator[PagePrice]:
    named = {name for name, _ in RUNPOD_ATTRIBUTES}
    priced = [e for e in page.within() if named & e.attributes.keys()]
    for element in priced:
        row = _row_around(element, priced)
        texts = row.texts()
        memory = re.search(r"(\d{1,4})\s*GB VRAM", " ".join(texts))
        for attribute, tier in RUNPOD_ATTRIBUTES:
            usd = _usd(element.attributes.get(attribute, ""), "RunPod", attribute)
            if usd is not None:
                yield PagePrice(
                    name=_row_name(row, texts),
                    usd_per_gpu_hour=usd,
                    tier=tier,
                    memory_bytes=int(memory[1]) * BYTES_PER_GIBIBYTE if memory else None,
                )


def _row_around(element: Element, priced: list[Element]) -> Element:
    """The largest element around a price that has no other price in it."""
    others = [other for other in priced if other is not element]
    row = element
    while row.parent is not None and row.parent.tag not in ("body", "html", ""):
        if any(_is_in(other, row.parent) for other in others):
            break
        row = row.parent
    return row


def _is_in(element: Element, outer: Element) -> bool:
    around: Element | None = element
    while around is not None and around is not outer:
        around = around.parent
    return around is outer


def _row_name(row: Element, texts: list[str]) -> str:
    """The one text in a row that may name a GPU; else its first, which a person will see."""
    named = list(dict.fromkeys(text for text in texts if models_like(text)))
    if len(named) == 1:
        return named[0]
    return texts[0] if texts else "(no name)"


def _runpod_products(page: Element) -> Iterator[PagePrice]:
    for script in page.within():
        if script.tag != "script" or script.attributes.get("type") != "application/ld+json":
            continue
        for product in _products(_ld_json(script)):
            name = re.sub(r"\s+(GPU\s+)?on\s+Runpod.*$", "", str(product.get("name")), flags=re.I)
            for offer in _ld_offers(product.get("offers")):
                yield from _ld_price(name, offer)


def _ld_json(script: Element) -> Any:
    try:
        return json.loads("".join(c for c in script.children if isinstance(c, str)))
    except (ValueError, RecursionError) as error:
        raise Malformed("RunPod's pricing page", "JSON-LD", "is no JSON") from error


def _products(payload: Any) -> Iterator[dict[str, Any]]:
    if isinstance(payload, list):
        for item in payload:
            yield from _products(item)
    elif isinstance(payload, dict):
        if payload.get("@type") == "Product":
            yield payload
        yield from _products(payload.get("@graph"))


def _ld_offers(offers: Any) -> Iterator[dict[str, Any]]:
    for offer in offers if isinstance(offers, list) else [offers]:
        if not isinstance(offer, dict):
            continue
        if "offers" in offer:
            yield from _ld_offers(offer["offers"])
        else:
            yield offer


def _ld_price(name: str, offer: dict[str, Any]) -> Iterator[PagePrice]:
    words = str(offer.get("name", "")).lower()
    tiers: list[Tier] = [t for t in ("secure", "community") if t in words]
    usd = _usd(str(offer.get("price", "")), "RunPod", f"the price of {name}")
    if len(tiers) != 1 or usd is None:
        return  # of no cloud, or of both: not comparable
    if offer.get("priceCurrency") != "USD":
        raise Malformed("RunPod's pricing page", f"the currency of {name}", "is not USD")
    yield PagePrice(name, usd, tiers[0])


# -- Lambda -----------------------------------------------------------------------------


def _tab_counts(page: Element) -> dict[str, int]:
    """GPUs in an instance by the id of the tab that says so."""
    found: dict[str, int] = {}
    for tab in (e for e in page.within() if e.attributes.get("role") == "tab"):
        if count := re.fullmatch(r"(\d{1,2})\s*[x×]", tab.text(), flags=re.I):
            found[tab.attributes.get("id", "")] = int(count[1])
    found.pop("", None)
    return found


def _tab_of(panel: Element, page: Element) -> str:
    """The id of a panel's tab, as either of the two says."""
    if told := panel.attributes.get("aria-labelledby"):
        return told
    own = panel.attributes.get("id")
    controls = (e for e in page.within() if own and e.attributes.get("aria-controls") == own)
    return next((tab.attributes.get("id", "") for tab in controls), "")


def _lambda_rows(panel: Element, gpu_count: int) -> Iterator[PagePrice]:
    for row in (e for e in panel.within() if e.tag == "tr"):
        cells = {
            label.upper(): cell.text()
            for cell in row.within()
            if (label := cell.attributes.get("data-label", "").strip(" *"))
        }
        if not cells:
            continue  # of headings
        if "GPU" not in cells or "PRICE/GPU/HR" not in cells:
            raise Malformed(
                "Lambda's pricing page", "a row", f"has the labels {', '.join(sorted(cells))[:200]}"
            )
        usd = _usd(cells["PRICE/GPU/HR"], "Lambda", f"the price of {cells['GPU'][:40]}")
        memory = re.fullmatch(r"(\d{1,4})\s*GB", cells.get("VRAM/GPU", ""))
        if usd is not None:
            yield PagePrice(
                name=cells["GPU"],
                usd_per_gpu_hour=usd,
                gpu_count=gpu_count,
                memory_bytes=int(memory[1]) * BYTES_PER_GIBIBYTE if memory else None,
            )


# -- Vast.ai ----------------------------------------------------------------------------

VAST_CELLS = 5
"""At least so many in a row of prices."""


def _vast_rows(table: Element) -> Iterator[PagePrice]:
    rows = [e for e in table.within() if e.tag == "tr"]
    heads = [[c.text().lower() for c in row.within() if c.tag == "th"] for row in rows]
    columns = next((head for head in heads if {"vast", "vast.ai"} & set(head)), None)
    if columns is None:
        return
    ours = next(i for i, word in enumerate(columns) if word in ("vast", "vast.ai"))
    for row in rows:
        cells = [cell.text() for cell in row.within() if cell.tag == "td"]
        if len(cells) < VAST_CELLS or len(cells) != len(columns):
            continue
        usd = _usd(cells[ours], "Vast.ai", f"the price of {cells[0][:40]}")
        if usd is not None:
            yield PagePrice(cells[0], usd)


# -- all --------------------------------------------------------------------------------


def _usd(text: str, source: str, where: str) -> float | None:
    """A price an hour in USD; None where the page says that there is none."""
    words = text.strip().lower()
    if words in NO_PRICE:
        return None
    found = PRICE.fullmatch(words)
    if found is None:
        raise Malformed(f"{source}'s pricing page", where, f"is {text[:40]!r}")
    return float(found[1].replace(",", ""))


def _some(found: list[PagePrice], source: str) -> list[PagePrice]:
    if not found:
        raise EmptyAnswer(
            f"{source}'s pricing page shows no price where they were: its layout has changed, and "
            "collectors/pricing_layouts.py must follow"
        )
    return found
