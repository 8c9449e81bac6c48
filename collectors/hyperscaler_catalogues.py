"""Reading the public catalogues of the hyperscalers: a zipped table of instances a provider.

Prices are of whole instances. A catalogue is read to the last line or not at all.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache

from collectors.base import EmptyAnswer, Malformed
from collectors.market_web import Answer
from warehouse.gpu_names import BYTES_PER_GIBIBYTE, Form, family_of, model_of
from warehouse.records import Offer

COLLECTOR = "hyperscalers"
MOST_UNPACKED_BYTES = 256 * 2**20
MOST_RATIO = 200.0
"""Unpacked over packed beyond which an archive is a bomb; tables of text pack by 10 to 40."""
BYTES_PER_GIGABYTE = 10**9
MOST_AMOUNT = 1e9
"""In GB or GiB: beyond it no instance has."""
MOST_GPUS = 10**6

NEEDED_COLUMNS = (
    "instance_name",
    "location",
    "price",
    "gpu_count",
    "gpu_name",
    "gpu_memory",
    "spot",
)
OTHER_MAKERS = frozenset({"google", "intel", "tenstorrent", "habana", "aws"})
"""Whose accelerators are no GPUs."""

FORMS: tuple[tuple[str, str, Form], ...] = (
    ("aws", r"p[45]|p6", "SXM"),
    ("gcp", r"a[234]-(high|mega|ultra|edge)gpu", "SXM"),
    ("azure", r"Standard_ND\d+\w*_(A100|H100|H200|GB200)?_?v\d", "SXM"),
    ("azure", r"Standard_NC\d+\w*_A100_v4", "PCIe"),
    ("azure", r"Standard_NCC?\d+\w*_H100_v5", "NVL"),
    ("oci", r"BM\.GPU(4\.8|\.A100|\.H100|\.H200|\.B\d|\.GB\d)", "SXM"),
    ("nebius", r"gpu-[a-z0-9]+-sxm", "SXM"),
)
"""The form of the GPUs in a family of instances, by the providers' own documentation; the
catalogues say `H100` of all of them."""


@dataclass(frozen=True)
class Catalogue:
    """One provider's, of one version."""

    provider: str
    version: str
    offers: tuple[Offer, ...]


def version_of(answer: Answer, provider: str) -> str:
    """The version in an answer of plain text.

    Raises:
        Malformed: it isn't one, for example a page.
    """
    text = answer.content.decode("ascii", errors="replace").strip()
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text):
        raise Malformed(_source(provider), "version", f"is {text[:40]!r}")
    return text


def catalogue_of(
    answer: Answer, provider: str, version: str, families: frozenset[str] | None
) -> Catalogue:
    """What a zipped catalogue holds on these families of GPUs; None is all of them.

    Raises:
        CollectorError: it can't be read to the end, or holds nothing.
    """
    offers = tuple(
        _row(line, fields, provider, answer)
        for line, fields in _lines(_table(answer.content, provider), provider)
        if _is_wanted(line, fields, provider, families)
    )
    if not offers:
        raise EmptyAnswer(
            f"{_source(provider)} (version {version}) holds no GPU of those asked for: see "
            "PILOTHOUSE_HYPERSCALERS_MODELS, and whether it has changed"
        )
    return Catalogue(provider, version, offers)


# -- the archive ------------------------------------------------------------------------


def _source(provider: str) -> str:
    return f"the catalogue of {provider}"


def _table(packed: bytes, provider: str) -> str:
    name = f"{provider}.csv"
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            info = archive.getinfo(name)
            _refuse_bomb(info, provider)
            with archive.open(info) as entry:
                unpacked = entry.read(MOST_UNPACKED_BYTES + 1)
    except KeyError:
        raise Malformed(_source(provider), "catalog.zip", f"has no {name}") from None
    # zipfile answers a damaged or locked archive with any of these
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise Malformed(_source(provider), "catalog.zip", f"can't be unpacked ({error})") from error
    if len(unpacked) > MOST_UNPACKED_BYTES:
        raise Malformed(_source(provider), name, f"is larger than {MOST_UNPACKED_BYTES} bytes")
    try:
        return unpacked.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed(_source(provider), name, "is not UTF-8") from error


def _refuse_bomb(info: zipfile.ZipInfo, provider: str) -> None:
    ratio = info.file_size / max(info.compress_size, 1)
    if info.file_size > MOST_UNPACKED_BYTES or (ratio > MOST_RATIO and info.file_size > 2**20):
        raise Malformed(
            _source(provider),
            info.filename,
            f"would unpack to {info.file_size} bytes, {ratio:.0f} times its size",
        )


# -- the table --------------------------------------------------------------------------


def _lines(text: str, provider: str) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = next(reader, [])
        missing = [name for name in NEEDED_COLUMNS if name not in columns]
        if missing or len(set(columns)) < len(columns):
            what = f"lacks {', '.join(missing)}" if missing else "names a column twice"
            raise Malformed(_source(provider), "line 1", what)
        for values in reader:
            if not values:
                continue
            if len(values) != len(columns):
                raise Malformed(
                    _source(provider),
                    f"line {reader.line_num}",
                    f"has {len(values)} values for {len(columns)} columns",
                )
            yield reader.line_num, dict(zip(columns, values, strict=True))
    except csv.Error as error:
        raise Malformed(_source(provider), f"line {reader.line_num}", str(error)) from error


def _is_wanted(
    line: int, fields: Mapping[str, str], provider: str, families: frozenset[str] | None
) -> bool:
    if _gpu_count(line, fields, provider) == 0:
        return False
    if fields.get("gpu_vendor", "").lower() in OTHER_MAKERS:
        return False
    return families is None or _family(fields["gpu_name"]) in families


@cache
def _family(name: str) -> str | None:
    return family_of(name)


@cache
def _model(name: str, memory_bytes: int | None, provider: str, instance: str) -> str | None:
    form = next((f for p, shape, f in FORMS if p == provider and re.match(shape, instance)), None)
    plain = model_of(name, memory_bytes=memory_bytes)
    return plain or model_of(name, memory_bytes=memory_bytes, form=form)


def _row(line: int, fields: Mapping[str, str], provider: str, answer: Answer) -> Offer:
    whole_usd = _number(line, fields, "price", provider)
    gpu_count = _gpu_count(line, fields, provider)
    gpu_memory = _amount(line, fields, "gpu_memory", provider, BYTES_PER_GIBIBYTE)
    spot = fields["spot"].strip().lower()
    if spot not in ("true", "false"):
        raise Malformed(_source(provider), f"line {line}, spot", f"is {fields['spot'][:40]!r}")
    disk_bytes = _amount(line, fields, "disk_size", provider, BYTES_PER_GIGABYTE)
    return Offer(
        provider=provider,
        offer_id=_text(line, fields, "instance_name", provider),
        gpu_model=fields["gpu_name"].strip() or "(no name)",
        model=_model(fields["gpu_name"], gpu_memory, provider, fields["instance_name"]),
        gpu_count=gpu_count,
        price_usd_per_gpu_hour=whole_usd / gpu_count,
        instance_price_usd_per_hour=whole_usd,
        quoted_unit="instance",
        price_kind="spot" if spot == "true" else "on_demand",
        region=_text(line, fields, "location", provider),
        gpu_memory_bytes=gpu_memory,
        vcpu_count=_amount(line, fields, "cpu", provider, 1),
        memory_bytes=_amount(line, fields, "memory", provider, BYTES_PER_GIBIBYTE),
        disk_bytes=disk_bytes,
        is_list_price=True,
        max_gpu_count=gpu_count,
        is_complete_search=True,
        source=COLLECTOR,
        payload_digest=answer.digest,
        measured_at=answer.answered_at,
        stored_at=answer.answered_at,  # the runner stamps it
    )


def at(offers: tuple[Offer, ...], seen_at: datetime) -> tuple[Offer, ...]:
    """The same offers as seen once more: their catalogue said that nothing has changed."""
    return tuple(replace(offer, measured_at=seen_at, stored_at=seen_at) for offer in offers)


def _text(line: int, fields: Mapping[str, str], column: str, provider: str) -> str:
    text = fields[column].strip()
    if not text:
        raise Malformed(_source(provider), f"line {line}, {column}", "is empty")
    return text


def _gpu_count(line: int, fields: Mapping[str, str], provider: str) -> int:
    count = _number(line, fields, "gpu_count", provider, 0.0)
    if not 0 <= count <= MOST_GPUS or count != int(count):
        raise Malformed(_source(provider), f"line {line}, gpu_count", f"is {count:g}")
    return int(count)


def _amount(
    line: int, fields: Mapping[str, str], column: str, provider: str, unit_bytes: int
) -> int | None:
    """An amount of memory in bytes; None where it is nothing, or no amount that there is."""
    amount = _number(line, fields, column, provider, 0.0)
    return round(amount * unit_bytes) if 0.0 < amount < MOST_AMOUNT else None


def _number(
    line: int,
    fields: Mapping[str, str],
    column: str,
    provider: str,
    default: float | None = None,
) -> float:
    text = fields.get(column, "").strip()
    if not text and default is not None:
        return default
    try:
        # `float` also takes 1_000 and other digits than ours; a table of prices has neither
        if not re.fullmatch(r"[-+.0-9eE]+|nan|inf", text):
            raise ValueError
        return float(text)
    except ValueError:
        raise Malformed(_source(provider), f"line {line}, {column}", f"is {text[:40]!r}") from None
