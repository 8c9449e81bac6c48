"""What analysts may ask: the tables they see, and what a question may be made of.

The first of three walls around a question; each holds alone. The second is the settings of the
DuckDB that answers (`analyst_process.py`), the third what the operating system lets that process
do (`analyst_walls.py`). This one reads the question's syntax tree, as DuckDB itself parsed it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Any

TEXT_MOST = 20_000
"""Most characters of a question."""

OPEN: frozenset[str] = frozenset(
    {
        "pools", "gpu_samples", "gpu_rollups", "gpu_shares", "gpu_processes", "node_states",
        "gpu_events", "node_health", "node_incidents", "pool_states", "job_events",
        "cluster_nodes", "cluster_pods", "cluster_jobs", "cluster_events", "disruption_budgets",
        "cluster_workloads", "scale_targets", "price_list", "charges", "pool_ledgers",
        "unit_costs", "metering_runs", "metered_hours", "fleet_hours", "metering_alarms", "exports",
        "offers", "market_alarms", "market_percentiles", "market_metrics", "benchmark_scores",
        "price_elasticities", "recommendations", "observations", "decisions", "verdicts",
        "approvals", "executions", "execution_steps", "undo_requests", "withdrawals", "outcomes",
        "refusals", "forecasts", "policies", "training_runs", "champions", "shadow_proposals",
        "shadow_scores", "twin_checks", "policy_alarms", "controls", "collector_runs",
        "usage_events", "storage_readings", "upkeep_runs", "simulations", "fleet_commands",
        "clock_jumps",
    }
)  # fmt: skip
"""Tables whose every row and column any of the console's people may read."""

WITHHELD: dict[str, str] = {
    "users": "it holds the hashes of passwords",
    "api_tokens": "it holds the hashes of tokens",
    "audit_events": "it holds people's addresses and the questions others asked",
    "tickets": "it is what verdicts are torn from, and of no meaning in itself",
    "rollup_marks": "it only marks how far the roll-ups are",
    "request_keys": "it is what requests that are sent again are known by",
    "request_answers": "it holds answers to one person",
    "leases": "it names the hosts that the consoles run on",
    "decision_messages": "it names the rooms of a chat that is not ours",
    "approval_links": "it names who may decide by a link, and until when",
    "cluster_rights": "it tells what the console may do in the cluster",
}
"""Tables that no question reaches, and why."""

VIEWS_OPEN: frozenset[str] = frozenset({"decision_states"})
"""Views that may be asked; what they rest on must be open too."""

TABLE_FUNCTIONS: frozenset[str] = frozenset({"range", "generate_series", "unnest"})
"""Functions that may stand where a table does."""

FUNCTIONS_WITHHELD: frozenset[str] = frozenset(
    {
        "query", "query_table", "current_setting", "getvariable", "getenv", "getenv_or_null",
        "nextval", "currval", "write_log", "error", "setseed", "sleep_ms", "pg_sleep", "stats",
        "current_query", "current_query_id", "current_connection_id", "current_transaction_id",
        "txid_current", "in_search_path", "get_block_size", "json_execute_serialized_sql",
        "json_serialize_sql", "json_deserialize_sql", "json_serialize_plan", "which_secret",
        "current_database", "current_catalog", "current_schema", "current_schemas",
        "inet_client_addr", "inet_client_port", "inet_server_addr", "inet_server_port",
    }
)  # fmt: skip
"""Functions that tell of the machine, the engine's settings or its state, or that change it."""

PREFIXES_WITHHELD = (
    "duckdb_",
    "ducklake_",
    "pragma_",
    "read_",
    "parquet_",
    "pg_",
    "has_",
    "which_",
)
"""So begin names of functions that read files or tell of the engine."""
HARMLESS = frozenset({"pg_typeof", "pg_size_pretty"})
"""Of those the ones that do neither."""

_RELATIONS = frozenset(
    {"BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EMPTY", "EXPRESSION_LIST", "PIVOT",
     "SHOW_REF"}
)  # fmt: skip
_RELATION_KEYS = ("from_table", "left", "right", "source")


def refusal(tree: dict[str, Any], names: Iterable[str]) -> str | None:
    """Why a question may not be asked, or None where it may.

    Args:
        tree: what DuckDB's `json_serialize_sql` says of the text.
        names: the tables and views that are there to be asked, in lower case.
    """
    if tree.get("error"):
        if tree.get("error_type") == "not implemented":
            return (
                "Only a SELECT can be asked here: nothing is written, set, attached or loaded. "
                "Begin with SELECT, FROM or WITH; of PIVOT name the values with IN (…)."
            )
        return str(tree.get("error_message", "this can't be read as SQL"))
    statements = tree.get("statements", [])
    if not statements:
        return "There is no question in it yet: begin with SELECT, FROM or WITH."
    if len(statements) != 1:
        return f"One question at a time: this holds {len(statements)}. Ask them one by one."
    known = set(names) | {name.lower() for name in _named_inside(tree)}
    return next(_objections(statements[0], known), None)


def _named_inside(node: Any) -> Iterator[str]:
    """The names that a question gives to its own parts by WITH."""
    for part in _parts(node):
        for entry in part.get("cte_map", {}).get("map", ()) if "cte_map" in part else ():
            yield str(entry["key"])


def _parts(node: Any) -> Iterator[dict[str, Any]]:
    """Every object of a tree; without recursion, since trees come as deep as people make them."""
    waiting = [node]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            yield here
            waiting.extend(here.values())
        elif isinstance(here, list):
            waiting.extend(here)


def _objections(tree: dict[str, Any], known: set[str]) -> Iterator[str]:
    for part in _parts(tree):
        kind = part.get("type")
        if kind == "BASE_TABLE":
            yield from _of_table(part, known)
        elif kind == "SHOW_REF":
            yield from _of_show(part)
        elif kind == "TABLE_FUNCTION":
            yield from _of_table_function(part.get("function") or {})
        elif part.get("class") == "FUNCTION":
            yield from _of_function(part)
        elif part.get("class") == "PARAMETER":
            yield "A question has no parameters here: write the value itself."
        for key in _RELATION_KEYS:
            yield from _of_relation(part.get(key))


def _of_relation(relation: Any) -> Iterator[str]:
    """Kinds of tables that nobody thought of are not for asking."""
    if isinstance(relation, dict) and "class" not in relation:
        kind = relation.get("type", "")
        if kind not in _RELATIONS and not str(kind).endswith("_NODE"):
            yield f"Nothing of the kind {kind} can be asked here."


def _of_table(part: dict[str, Any], known: set[str]) -> Iterator[str]:
    name = str(part.get("table_name", ""))
    if part.get("catalog_name") or part.get("schema_name"):
        yield f"Name the table {name} alone, without what stands before the dot."
    elif name.lower() in WITHHELD:
        yield f"The table {name} is not for asking: {WITHHELD[name.lower()]}."
    elif name.lower() not in known:
        near = difflib.get_close_matches(name.lower(), sorted(known), n=3, cutoff=0.6)
        beside = f"near to it: {', '.join(near)}" if near else "the list of tables has them all"
        yield f"There is no table {name} to ask; {beside}."
    elif part.get("at_clause"):
        yield "Only the present can be asked here: leave AT (…) out."


def _of_show(part: dict[str, Any]) -> Iterator[str]:
    if part.get("query") is None and part.get("table_name") != '"tables"':
        yield "Of the engine itself nothing can be asked: SHOW TABLES and DESCRIBE of a table work."


def _of_table_function(function: dict[str, Any]) -> Iterator[str]:
    name = str(function.get("function_name", ""))
    if name.lower() not in TABLE_FUNCTIONS:
        usable = ", ".join(sorted(TABLE_FUNCTIONS))
        yield f"{name}() can't stand where a table does: of functions only {usable} can."


def _of_function(part: dict[str, Any]) -> Iterator[str]:
    name = str(part.get("function_name", "")).lower()
    if part.get("catalog") or part.get("schema") not in ("", "main", None):
        yield f"Name the function {name} alone, without what stands before the dot."
    elif name in FUNCTIONS_WITHHELD or (
        name.startswith(PREFIXES_WITHHELD) and name not in HARMLESS
    ):
        yield f"The function {name}() is not for asking: it tells of the engine or the machine."
