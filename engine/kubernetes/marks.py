"""The annotations of ours, and those of others that are obeyed."""

from __future__ import annotations

DECISION = "pilothouse.dev/decision"
"""On everything that is held by a decision, until it is given back."""
SUSPENDED = "pilothouse.dev/suspended-by"
"""On a Job that a decision suspended, until it is resumed."""
KEPT_OFF = "pilothouse.dev/kept-off"
"""On a Job: the nodes that its affinity was told to avoid, separated by commas."""
CHECKPOINTS = "pilothouse.dev/checkpoints"
"""`"true"` on a Job that answers when it is asked for a checkpoint."""
CHECKPOINT_URL = "pilothouse.dev/checkpoint-url"
"""On a Job that would rather be asked by HTTP as well."""
REQUESTED = "pilothouse.dev/checkpoint-requested"
"""The id of what is asked, on the Job and its pods."""
CHECKPOINTED = "pilothouse.dev/checkpointed"
"""That id again, on the Job or one of its pods, once it has checkpointed."""
CHECKPOINTED_AT = "pilothouse.dev/checkpointed-at"
"""When, ISO 8601."""
DO_NOT_DISRUPT = "karpenter.sh/do-not-disrupt"
MIRROR = "kubernetes.io/config.mirror"
DELETE_MACHINE = "cluster.x-k8s.io/delete-machine"
"""On a Machine that is to go first when its set shrinks."""
MACHINE = "cluster.x-k8s.io/machine"
CLUSTER_NAMESPACE = "cluster.x-k8s.io/cluster-namespace"
QUEUE = "kueue.x-k8s.io/queue-name"
HOSTNAME = "kubernetes.io/hostname"
GPU = "nvidia.com/gpu"


def is_true(value: object) -> bool:
    """Whether an annotation says yes."""
    return str(value).lower() == "true"
