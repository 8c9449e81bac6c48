"""What a person says about acting on a cluster: how long steps may wait, how a node is mended."""

from __future__ import annotations

import shlex

from pydantic import Field, field_validator

from cluster.settings import ClusterSettings


class HandsSettings(ClusterSettings):
    """How a cluster is acted on; each field is `PILOTHOUSE_KUBERNETES_<field>`."""

    checkpoint_seconds: float = Field(300, gt=0)
    """Longest wait for a job to answer that it has checkpointed; else it is not moved."""
    checkpoint_hosts: str = ""
    """Hosts, separated by commas, that a `pilothouse.dev/checkpoint-url` may name besides the
    Services of the job's own namespace."""
    suspend_seconds: float = Field(120, gt=0)
    """Longest wait until a suspended job has no pods left."""
    evict_seconds: float = Field(900, gt=0)
    """How long evictions are asked again while a PodDisruptionBudget says no."""
    move_seconds: float = Field(600, gt=0)
    """Longest wait until a moved job runs elsewhere; after it the move is taken back."""
    scale_seconds: float = Field(1800, gt=0)
    """Longest wait for nodes to come or go."""
    repair_seconds: float = Field(3600, gt=0)
    """Longest wait for a node to be replaced or mended, and longest run of `repair_command`."""
    request_seconds: float = Field(60, gt=0)
    """Longest that a single change is asked for again while the API server is busy or away."""
    repair_command: str = ""
    """Program that mends a node where no machine API replaces it, for example
    `/opt/ops/reset-gpus --node {node}`. It is run without a shell, and may be run twice."""

    @field_validator("repair_command")
    @classmethod
    def _can_be_split(cls, command: str) -> str:
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise ValueError(f"the repair command can't be read ({error})") from error
        if words and not any("{node}" in word for word in words):
            raise ValueError("the repair command names no {node}: it would mend them all alike")
        return command

    def repair_words(self, node_id: str) -> list[str]:
        """The program and its arguments for a node; empty without one."""
        return [word.replace("{node}", node_id) for word in shlex.split(self.repair_command)]
