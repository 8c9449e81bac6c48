"""Evidence: what the rows of the last hours say against each node.

Events and readings are summed up in SQL, a row a node and kind, so that the whole fleet is three
questions however large it is. What the node itself says is read off the roster.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from engine.healing.lemons import Failures, lemons
from engine.healing.pieces import MEANS_SOMETHING_RATIO, Piece, gpu_words, span_words
from engine.healing.roster import Node
from engine.healing.weights import WEIGHTS, Weights
from engine.healing.xids import XIDS, xid
from warehouse.store import Store
from warehouse.words import counted

_FLOORS = """
    floors AS (
        SELECT unnest($floor_nodes::VARCHAR[]) AS node_id,
            unnest($floor_ats::TIMESTAMPTZ[]) AS floor_at
    )
"""
_EVENTS = f"""
    WITH {_FLOORS}, weighed AS (
        SELECT unnest($codes::BIGINT[]) AS code, unnest($weights::DOUBLE[]) AS weight
    ), happened AS (
        SELECT e.node_id, e.kind, e.code, e.source, e.happened_at,
            coalesce(regexp_extract(e.detail, '^GPU (\\d+)', 1), '') AS slot,
            CASE e.kind WHEN 'xid' THEN coalesce(w.weight, $unknown)
                WHEN 'ecc_uncorrected' THEN $ecc WHEN 'row_remap' THEN $remap ELSE $lost
            END * pow(0.5, (epoch($now) - epoch(e.happened_at)) / $half_life) AS weight
        FROM gpu_events e LEFT JOIN floors f USING (node_id) LEFT JOIN weighed w USING (code)
        WHERE e.happened_at > $since AND e.happened_at <= $now
            AND (f.floor_at IS NULL OR e.happened_at > f.floor_at)
    ), told AS (
        SELECT node_id, kind, code, source, count(*) AS count,
            1 - exp(sum(ln(1 - least(weight, 0.999999)))) AS weight, max(weight) AS heaviest,
            min(happened_at) AS since_at, max(happened_at) AS "at",
            list(DISTINCT slot) FILTER (slot <> '') AS slots
        FROM happened GROUP BY ALL
    )
    SELECT * FROM told
    QUALIFY row_number() OVER (
        PARTITION BY node_id, kind, code ORDER BY weight DESC, source
    ) = 1
    ORDER BY node_id, kind, code
"""
"""Where two sources tell of the same errors, the one that saw more is believed."""
_READINGS = f"""
    WITH {_FLOORS}, seen AS (
        SELECT s.node_id, s.gpu_id, s.slot, s.measured_at, s.temperature_celsius,
            s.ecc_uncorrected_count AS errors, s.row_remap_is_pending, s.row_remap_has_failed,
            regexp_matches(s.throttle_reasons, 'HwThermal|HwPowerBrake|HwSlowdown') AS is_held,
            regexp_extract(s.throttle_reasons, 'HwPowerBrake|HwThermal') AS held_by,
            s.temperature_celsius >= $hot AS is_hot
        FROM gpu_samples s LEFT JOIN floors f USING (node_id)
        WHERE s.measured_at > $since AND s.measured_at <= $now AND s.parent_gpu_id IS NULL
            AND (f.floor_at IS NULL OR s.measured_at > f.floor_at)
    )
    SELECT node_id, any_value(slot) AS slot, count(*) AS readings, max(measured_at) AS "at",
        avg(is_held::INT) AS held_ratio, min(measured_at) FILTER (is_held) AS held_since_at,
        coalesce(max(held_by) FILTER (held_by <> ''), 'HwThermal') AS held_by,
        avg(is_hot::INT) AS hot_ratio, min(measured_at) FILTER (is_hot) AS hot_since_at,
        max(temperature_celsius) AS hottest,
        arg_max(errors, measured_at) - arg_min(errors, measured_at) AS errors,
        min(measured_at) AS since_at,
        arg_max(row_remap_is_pending, measured_at) AS is_pending,
        min(measured_at) FILTER (row_remap_is_pending) AS pending_since_at,
        arg_max(row_remap_has_failed, measured_at) AS has_failed,
        min(measured_at) FILTER (row_remap_has_failed) AS failed_since_at
    FROM seen GROUP BY node_id, gpu_id
    HAVING held_ratio >= $least_held OR hot_ratio >= $least_held OR errors > 0 OR is_pending
        OR has_failed
    ORDER BY node_id, slot
"""
_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure")


def evidence(
    store: Store,
    nodes: Mapping[str, Node],
    now: datetime,
    weights: Weights = WEIGHTS,
    failures: Failures | None = None,
) -> dict[str, list[Piece]]:
    """The pieces that speak against each node, the heaviest first; sound nodes have none."""
    floors = {n.node_id: n.counts_from_at for n in nodes.values() if n.counts_from_at is not None}
    given = {"floor_nodes": [*floors], "floor_ats": [*floors.values()], "now": now}
    found: dict[str, dict[str, Piece]] = {}
    for piece in _pieces(store, nodes, now, weights, given):
        held = found.setdefault(piece.node_id, {})
        known = held.get(piece.signal)
        if known is None or piece.weight_ratio > known.weight_ratio:
            held[piece.signal] = piece
    failed = (failures or Failures()).by_node(store, given, weights)
    for piece in lemons(failed, nodes, now, weights):
        is_late = piece.node_id in found and now - piece.at <= weights.event_window
        if piece.weight_ratio >= MEANS_SOMETHING_RATIO or is_late:
            found.setdefault(piece.node_id, {})[piece.signal] = piece
    return {
        name: sorted(held.values(), key=lambda piece: (-piece.weight_ratio, piece.signal))
        for name, held in found.items()
        if name in nodes
    }


def _pieces(
    store: Store,
    nodes: Mapping[str, Node],
    now: datetime,
    weights: Weights,
    given: Mapping[str, Any],
) -> Iterator[Piece]:
    events = store.query(
        _EVENTS,
        **given,
        since=now - weights.event_window,
        half_life=weights.half_life.total_seconds(),
        codes=[*XIDS],
        weights=[weights.xid_ratio[each.kind] for each in XIDS.values()],
        unknown=weights.xid_ratio["watch"],
        ecc=weights.ecc_ratio,
        remap=weights.row_remap_ratio,
        lost=weights.gpu_lost_ratio,
    )
    for row in events.iter_rows(named=True):
        yield _event_piece(row, weights)
    readings = store.query(
        _READINGS,
        **given,
        since=now - weights.reading_window,
        hot=weights.hot_from_celsius,
        least_held=weights.least_throttled_ratio,
    )
    for row in readings.iter_rows(named=True):
        yield from _reading_pieces(row, weights)
    for node in nodes.values():
        yield from _node_pieces(node, now, weights)


# -- events ----------------------------------------------------------------------------

_EVENT_WORDS = {
    "ecc_uncorrected": "report of uncorrected memory errors",
    "row_remap": "change of the row remapper",
}


def _event_piece(row: Mapping[str, Any], weights: Weights) -> Piece:
    kind, count, weight = row["kind"], row["count"], row["weight"]
    where, span = gpu_words(row["slots"] or ()), span_words(row["since_at"], row["at"])
    signal = kind
    if kind == "xid":
        known = xid(row["code"] or 0)
        signal = f"xid_{row['code']}"
        words = f"{count} XID {row['code']} ({known.words}){span}{where}"
        if known.kind == "application":
            weight = min(weight, weights.application_most_ratio)
    elif kind == "gpu_lost":  # it is told again while it stays away
        weight, words = row["heaviest"], f"GPU is gone from the bus{where}"
    else:
        words = f"{counted_words(count, _EVENT_WORDS[kind])}{span}{where}"
    return Piece(row["node_id"], signal, count, weight, words, row["at"], row["since_at"])


def counted_words(count: int, words: str) -> str:
    """So many of a thing whose noun stands first: `2 reports of …`."""
    noun, _, rest = words.partition(" ")
    return f"{counted(count, noun)} {rest}"


# -- readings --------------------------------------------------------------------------


def _reading_pieces(row: Mapping[str, Any], weights: Weights) -> Iterator[Piece]:
    node_id, gpu, at = row["node_id"], f", GPU {row['slot']}", row["at"]
    if (held := row["held_ratio"] or 0.0) >= weights.least_throttled_ratio:
        why = "a power brake" if row["held_by"] == "HwPowerBrake" else "heat"
        words = f"clocks held down by {why}{gpu}"
        weight = weights.throttled_ratio * held
        yield Piece(node_id, "throttled", held, weight, words, at, row["held_since_at"])
    if (hot := row["hot_ratio"] or 0.0) >= weights.least_throttled_ratio:
        words = f"{weights.hot_from_celsius:.0f} °C or more{gpu}"
        weight = weights.hot_ratio * hot
        yield Piece(node_id, "hot", row["hottest"], weight, words, at, row["hot_since_at"])
    if (errors := row["errors"] or 0) > 0:
        words = f"{counted(errors, 'uncorrected memory error')}{gpu}"
        weight = weights.ecc_ratio
        yield Piece(node_id, "ecc_uncorrected", errors, weight, words, at, row["since_at"])
    if row["is_pending"]:
        words = f"a row remapping waits for a reset{gpu}"
        weight, since_at = weights.remap_pending_ratio, row["pending_since_at"]
        yield Piece(node_id, "row_remap_pending", 1.0, weight, words, at, since_at)
    if row["has_failed"]:
        words = f"a memory row could not be remapped{gpu}"
        weight, since_at = weights.remap_failed_ratio, row["failed_since_at"]
        yield Piece(node_id, "row_remap_failed", 1.0, weight, words, at, since_at)


# -- the node itself -------------------------------------------------------------------


def _node_pieces(node: Node, now: datetime, weights: Weights) -> Iterator[Piece]:
    if node.is_gone:
        return
    is_awaited = node.state in ("provisioning", "down", "off")
    if node.read_at and node.silence >= weights.silent_after and not is_awaited:
        words = f"not read since {node.read_at:%H:%M} UTC, while its pool was"
        minutes = weights.silent_after.total_seconds() / 60
        weight = weights.silent_ratio
        yield Piece(node.node_id, "silent", minutes, weight, words, node.read_at, node.read_at)
    is_new = node.created_at is not None and now - node.created_at < weights.settling
    for condition in node.conditions if not is_new else ():
        yield _condition_piece(node.node_id, condition, now, weights)


def _condition_piece(
    node_id: str, condition: Mapping[str, Any], now: datetime, weights: Weights
) -> Piece:
    kind = str(condition.get("type"))
    since_at = _instant(condition.get("since"), now)
    signal, weight = f"condition_{kind}", weights.condition_ratio
    if kind == "Ready":
        signal, weight = "not_ready", weights.not_ready_ratio
    elif kind in _PRESSURES:
        weight = weights.pressure_ratio
    if now - since_at < weights.flapping:
        weight /= 2
    said = "not ready" if kind == "Ready" else kind
    why = condition.get("reason")
    words = f"{said} since {since_at:%H:%M} UTC{f', {why}' if why else ''}"
    return Piece(node_id, signal, 1.0, weight, words, since_at, since_at)


def _instant(text: Any, now: datetime) -> datetime:
    try:
        return min(now, datetime.fromisoformat(str(text)))
    except (ValueError, TypeError):
        return now
