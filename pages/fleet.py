"""Fleet: a map of every GPU, each node in detail, and the nodes that are or were ill."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
import polars as pl
from dash import (
    ClientsideFunction,
    Input,
    Output,
    State,
    clientside_callback,
    dcc,
    html,
    no_update,
    register_page,
)

from pages._address import chosen, keep_in_address
from pages._callbacks import answers
from pages._context import context
from pages._drawers import opens_by
from pages._incidents import incidents_panel
from pages._node import SPANS, node_charts, node_now
from pages._node_health import health_of_node
from pages._nothing import nothing_yet
from pages._parts import empty, icon, page, page_head, panel, skeleton_rows, state_badge
from pages._words import age, count
from warehouse import fleet, healing, shares

MEASURES = {
    "utilisation": "Utilisation",
    "temperature": "Temperature",
    "power": "Power",
    "state": "State",
}
NODES_MAX = 20_000
"""Most nodes that the map shows."""


def layout(
    measure: str | None = None,
    pool: str | None = None,
    search: str | None = None,
    node: str | None = None,
    span: str | None = None,
    **_: str,
) -> html.Div:
    """The page before its readings are in."""
    return page(
        dcc.Store(id="fleet-readings"),
        dcc.Input(id="fleet-node", type="hidden", value=node or ""),
        page_head(
            "Fleet",
            *_filters(chosen(measure, list(MEASURES)), pool, search),
            note=html.Span("Reading the warehouse", id="fleet-age"),
        ),
        panel(
            None,
            html.Div(
                id="fleet-legend",
                className="map-legend",
                style={"minHeight": 22, "marginBottom": 12},
            ),
            html.Div(dmc.Skeleton(height=320), id="fleet-empty"),
            html.Div(id="fleet-map", role="group", **{"aria-label": "Every node; Enter opens one"}),
        ),
        panel("Incidents", html.Div(skeleton_rows(3), id="fleet-incidents")),
        _drawer(span),
        name="fleet",
    )


def _filters(measure: str, pool: str | None, search: str | None) -> list[Any]:
    measures = [{"value": name, "label": label} for name, label in MEASURES.items()]
    names = [each.pool for each in fleet.pools(context().store)]
    return [
        dmc.TextInput(
            id="fleet-search",
            value=search or "",
            debounce=250,
            w=190,
            placeholder="Node, job or tenant",
            leftSection=icon("search", 14),
            **{"aria-label": "Search nodes, jobs and tenants"},
        ),
        dmc.Select(
            id="fleet-pool",
            value=pool,
            data=names,
            placeholder="All pools",
            clearable=True,
            w=160,
            **{"aria-label": "Pool"},
        ),
        dmc.SegmentedControl(
            id="fleet-measure", value=measure, data=measures, **{"aria-label": "Colour by"}
        ),
    ]


def _drawer(span: str | None) -> dmc.Drawer:
    control = dmc.SegmentedControl(
        id="fleet-span",
        value=chosen(span, list(SPANS)),
        data=[{"value": "24h", "label": "24 h"}, {"value": "14d", "label": "14 days"}],
        **{"aria-label": "Over how long"},
    )
    body = [
        html.Div(id="fleet-detail"),
        html.Div([html.H3("History, hour by hour"), control], className="panel-head"),
        html.Div(dmc.Skeleton(height=180), id="fleet-charts"),
    ]
    return dmc.Drawer(
        html.Div(body, className="stack"),
        id="fleet-drawer",
        opened=False,
        position="right",
        size="min(640px, 100vw)",
        title=html.Div(id="fleet-title"),
        overlayProps={"backgroundOpacity": 0.2},
        closeButtonProps={"aria-label": "Close"},
    )


@answers(
    Output("fleet-readings", "data"),
    Output("fleet-age", "children"),
    Output("fleet-empty", "children"),
    Input("shell-tick", "n_intervals"),
    State("fleet-readings", "data"),
)
def bring_up_to_date(n_intervals: int | None, shown: dict[str, Any] | None) -> tuple[Any, ...]:
    """The newest reading of every GPU; sent only when there is a newer one."""
    store, now = context().store, context().now()
    nodes = fleet.nodes(store, limit=NODES_MAX)
    if not nodes.total:
        return (
            no_update,
            "Nothing was read yet",
            nothing_yet("GPUs", "They appear once a collector has read them."),
        )
    newest: Any = nodes.rows["measured_at"].max()
    gpus = count(int(nodes.rows["gpu_count"].sum()))
    words = f"{count(nodes.total)} nodes, {gpus} GPUs, read {age(newest, now)}"
    if shown and shown["newest"] == newest.isoformat():
        return no_update, words, None
    models = {each.pool: f"{each.gpu_model}, {each.region}" for each in fleet.pools(store)}
    ill = {each.node_id: healing.headline(each) for each in healing.suspects(store)}
    shared = shares.shared_gpus(store)
    drawn = readings(nodes.rows, fleet.gpu_map(store), models, newest.isoformat(), ill, shared)
    return drawn, words, None


def readings(
    nodes: pl.DataFrame,
    gpus: pl.DataFrame,
    models: dict[str, str],
    newest: str,
    ill: dict[str, str],
    shared: pl.DataFrame,
) -> dict[str, Any]:
    """What the map is drawn from: columns, and names once, to keep it small on the wire.

    `ill` says of each suspect node what is wrong with it, `shared` which GPUs are cut up or shared.
    """
    jobs = gpus["job_id"].drop_nulls().unique(maintain_order=True).to_list()
    tenants = gpus["tenant"].drop_nulls().unique(maintain_order=True).to_list()
    job_index = {name: i for i, name in enumerate(jobs)}
    tenant_index = {name: i for i, name in enumerate(tenants)}
    columns = {
        "node": gpus["node_id"].to_list(),
        "slot": gpus["slot"].to_list(),
        "utilisation": gpus["utilisation_ratio"].round(3).to_list(),
        "temperature": gpus["temperature_celsius"].round(1).to_list(),
        "power": gpus["power_watts"].round(0).to_list(),
        "cap": gpus["power_limit_watts"].to_list(),
        "job": [None if name is None else job_index[name] for name in gpus["job_id"]],
        "tenant": [None if name is None else tenant_index[name] for name in gpus["tenant"]],
    }
    listed = nodes.sort("pool", "node_id").select("node_id", "pool", "kind", "state", "gpu_count")
    return {
        "newest": newest,
        "models": models,
        "jobs": jobs,
        "tenants": tenants,
        "nodes": [list(row) for row in listed.iter_rows()],
        "gpus": columns,
        "ill": ill,
        "shared": _shared(gpus, shared),
    }


def _shared(gpus: pl.DataFrame, shared: pl.DataFrame) -> dict[str, list[Any]]:
    """By place among the GPUs: how it is given out, instances, holders, and their names."""
    rows = {row["gpu_id"]: row for row in shared.iter_rows(named=True)}
    return {
        str(at): [
            row["sharing"],
            row["instance_count"],
            row["holder_count"],
            " ".join([*row["jobs"], *row["tenants"]]),
        ]
        for at, gpu_id in enumerate(gpus["gpu_id"] if rows else [])
        if (row := rows.get(gpu_id))
    }


@answers(
    Output("fleet-title", "children"),
    Output("fleet-detail", "children"),
    Input("fleet-node", "value"),
    Input("shell-tick", "n_intervals"),
)
def show_node(node_id: str | None, n_intervals: int | None) -> tuple[Any, ...]:
    """The picked node as it is now."""
    if not node_id:
        return skeleton_rows(1), skeleton_rows(6)
    found = fleet.node(context().store, node_id)
    if found is None:
        missing = html.Div("It is in no reading. Pick another on the map.")
        return node_id, empty(f"No node {node_id}", missing)
    badges = [state_badge(found.state)]
    if healing.is_suspect(context().store, node_id):
        badges.append(state_badge("suspect"))
    title = html.Div([html.Span(node_id), *badges], className="row")
    now = context().now()
    health = health_of_node(context().store, node_id, now)
    return title, html.Div([node_now(found, now), health], className="stack")


@answers(Output("fleet-incidents", "children"), Input("shell-tick", "n_intervals"))
def show_incidents(n_intervals: int | None) -> Any:
    """The nodes that are ill, and those that were."""
    return incidents_panel(context().store, context().now())


@answers(
    Output("fleet-charts", "children"),
    Input("fleet-node", "value"),
    Input("fleet-span", "value"),
)
def show_history(node_id: str | None, span: str) -> Any:
    """The picked node's utilisation and power, hour by hour."""
    return node_charts(node_id, chosen(span, list(SPANS))) if node_id else no_update


clientside_callback(
    ClientsideFunction("fleet", "draw"),
    Output("fleet-map", "title"),
    Input("fleet-readings", "data"),
    Input("fleet-measure", "value"),
    Input("fleet-pool", "value"),
    Input("fleet-search", "value"),
    Input("fleet-node", "value"),
)
opens_by("fleet", "fleet-node")
keep_in_address("fleet-measure", "fleet-pool", "fleet-search", "fleet-node", "fleet-span")
register_page(
    __name__,
    path="/fleet",
    name="Fleet",
    title="Fleet · Pilothouse",
    layout=layout,
    order=2,
    icon="server",
)
