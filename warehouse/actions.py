"""What may be asked of the fleet: each action type's parameters, their units and limits.

Pages build the override form from here, the API checks what it is sent, the engine checks
again before it acts; so the words exist once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any, get_args

from warehouse.records import ActionType
from warehouse.words import counted

LONGEST_NAME = 500
"""Characters."""


class InvalidParameters(ValueError):
    """The parameters are not this action's; the sentence says which and what would do."""


@dataclass(frozen=True)
class Parameter:
    """One number that an action takes."""

    name: str
    label: str
    unit: str
    low: float
    high: float
    is_whole: bool = False


@dataclass(frozen=True)
class NameParameter:
    """A name that an action takes: of a node, a job or a policy. Nobody edits it: another name is
    another decision."""

    name: str
    label: str


@dataclass(frozen=True)
class ActionSpec:
    """An action type as people see it."""

    action: str
    label: str
    sentence: str
    """What it does; `{pool}` and the parameters are filled in, `{nodes:empty node}` as a count."""
    parameters: tuple[Parameter, ...]
    """The numbers, which a person may edit."""
    names: tuple[NameParameter, ...] = ()
    """The names, which stand as they are."""


ACTION_SPECS: dict[str, ActionSpec] = {
    spec.action: spec
    for spec in (
        ActionSpec(
            "scale_up",
            "Scale up",
            "Switch on {nodes:node} in {pool}, our own first, then leased",
            (Parameter("nodes", "Nodes to add", "nodes", 1, 64, is_whole=True),),
        ),
        ActionSpec(
            "scale_down",
            "Scale down",
            "Release {nodes:empty node} in {pool}, leased first",
            (Parameter("nodes", "Nodes to release", "nodes", 1, 64, is_whole=True),),
        ),
        ActionSpec(
            "pre_warm",
            "Pre-warm",
            "Have {nodes:node} ready in {pool} ahead of the demand that is forecast",
            (Parameter("nodes", "Nodes to have ready", "nodes", 1, 64, is_whole=True),),
        ),
        ActionSpec(
            "adjust_price",
            "Adjust price",
            "Set the price of {pool} to ${price_usd_per_gpu_hour} per GPU-hour for new jobs",
            (Parameter("price_usd_per_gpu_hour", "New price", "USD per GPU-hour", 0.01, 100.0),),
        ),
        ActionSpec(
            "migrate_job",
            "Migrate job",
            "Checkpoint job {job_id} and move it off {node_id} in {pool}",
            (),
            (NameParameter("job_id", "Job"), NameParameter("node_id", "Off node")),
        ),
        ActionSpec(
            "rebalance",
            "Rebalance",
            "Move the jobs of {node_ids} in {pool} to others, then release those nodes",
            (),
            (NameParameter("node_ids", "Nodes to empty, separated by commas"),),
        ),
        ActionSpec(
            "quarantine_node",
            "Quarantine node",
            "Cordon {node_id} in {pool} and move its jobs off with their checkpoints",
            (),
            (NameParameter("node_id", "Node"),),
        ),
        ActionSpec(
            "repair_node",
            "Repair node",
            "Replace or restart {node_id} in {pool}, and return it once it is sound",
            (),
            (NameParameter("node_id", "Node"),),
        ),
        ActionSpec(
            "promote_policy",
            "Promote policy",
            "Let {policy_id} steer {pool} pools",
            (),
            (NameParameter("policy_id", "Policy"),),
        ),
        ActionSpec("do_nothing", "Do nothing", "Leave {pool} as it is", ()),
    )
}
"""The action types that this console can carry out, in the order they are listed."""

ACTION_TYPES: tuple[str, ...] = get_args(ActionType)
"""Every action type of the design, those still to come included."""


def checked_parameters(action: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as numbers of the right kind.

    Raises:
        InvalidParameters: one is missing, unknown, not a number, or out of its limits.
    """
    spec = ACTION_SPECS.get(action)
    if spec is None:
        raise InvalidParameters(f"{action} is not an action: use {', '.join(ACTION_SPECS)}")
    known = {each.name for each in spec.parameters} | {each.name for each in spec.names}
    unknown = set(parameters) - known
    if unknown:
        raise InvalidParameters(f"{action} takes no {', '.join(sorted(unknown))}")
    numbers = {
        parameter.name: _checked(action, parameter, parameters.get(parameter.name))
        for parameter in spec.parameters
    }
    names = {
        each.name: _checked_name(action, each, parameters.get(each.name)) for each in spec.names
    }
    return numbers | names


def editable_parameters(
    action: str, shown: Mapping[str, Any], edited: Mapping[str, Any]
) -> dict[str, Any]:
    """The parameters of a decision, `shown`, with its numbers edited; names stay as they are.

    Raises:
        InvalidParameters: there is no number to edit, or `edited` are not this action's.
    """
    spec = ACTION_SPECS.get(action)
    if spec is not None and not spec.parameters:
        raise InvalidParameters(f"{action} has nothing to edit: approve it as it is, or reject it")
    kept = {each.name: shown.get(each.name) for each in spec.names} if spec else {}
    other = [name for name, value in kept.items() if edited.get(name, value) != value]
    if other:
        raise InvalidParameters(
            f"{', '.join(other)} can't be edited: reject this decision and wait for another"
        )
    return checked_parameters(action, kept | dict(edited))


def _checked(action: str, parameter: Parameter, value: Any) -> int | float:
    wanted = f"{parameter.low:g} to {parameter.high:g} {parameter.unit}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidParameters(f"{action} needs {parameter.name}: a number, {wanted}")
    if not parameter.low <= value <= parameter.high:  # also refuses NaN and infinity
        raise InvalidParameters(f"{parameter.name} is {value:g}; it may be {wanted}")
    if parameter.is_whole and value != int(value):
        raise InvalidParameters(f"{parameter.name} is a whole number, not {value}")
    return int(value) if parameter.is_whole else float(value)


def _checked_name(action: str, parameter: NameParameter, value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME:
        raise InvalidParameters(
            f"{action} needs {parameter.name}: a name of 1 to {LONGEST_NAME} characters"
        )
    return value


class _CountingFormatter(Formatter):
    """Reads what stands after a colon as the noun that is counted."""

    def format_field(self, value: Any, format_spec: str) -> str:
        return counted(value, format_spec) if format_spec else str(value)


def sentence(action: str, pool: str, parameters: Mapping[str, Any]) -> str:
    """The action in words."""
    return _CountingFormatter().format(ACTION_SPECS[action].sentence, pool=pool, **parameters)


def action_hash(action: str, target: str, parameters: Mapping[str, Any]) -> str:
    """SHA-256 of exactly what would be done; an approval is bound to it."""
    exact = json.dumps([action, target, dict(parameters)], sort_keys=True)
    return hashlib.sha256(exact.encode()).hexdigest()
