"""What the pools are scaled by: the objects that the pools file names, as they stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from cluster.api import Api
from cluster.errors import Forbidden, Invalid, NotFound, Unavailable
from cluster.settings import PoolTerms
from collectors.base import Note
from collectors.kubernetes_objects import GPU, Object, number, part
from collectors.kubernetes_rows import SOURCE
from warehouse.records import ScaleTarget


def scale_targets(
    api: Api, terms: Mapping[str, PoolTerms], now: datetime
) -> Iterator[ScaleTarget | Note]:
    """The object that each pool is scaled by, or a note why it can't be read.

    Raises:
        ClusterError: the server doesn't answer.
    """
    for pool, said in terms.items():
        if said.scale is None:
            continue
        try:
            yield _target(api, pool, said.scale, now)
        except NotFound:
            yield Note(
                f"{said.scale} is not there, so {pool} can't be scaled: mend its `scale` in the "
                "pools file"
            )
        except Forbidden:
            yield Note(
                f"{said.scale} may not be read, so {pool} can't be scaled: grant the console's "
                "account `get` on it, see docs/kubernetes.md"
            )
        except (Unavailable, Invalid) as error:  # one object's trouble is no reason to see nothing
            yield Note(f"what {pool} is scaled by can't be read just now: {error}")


def _target(api: Api, pool: str, path: str, now: datetime) -> ScaleTarget:
    found = api.get(path)
    meta, spec = part(found, "metadata"), part(found, "spec")
    is_dynamic = "/karpenter.sh/" in path and spec.get("replicas") is None
    limit = part(spec, "limits").get(GPU)
    return ScaleTarget(
        pool=pool,
        target=path,
        lever="limits" if is_dynamic else "scale",
        uid=str(meta.get("uid")),
        wanted_nodes=None if is_dynamic else _wanted(api, path, spec),
        limit_gpus=number(limit, "spec.limits") if is_dynamic and limit is not None else None,
        generation=number(meta.get("generation"), "metadata.generation"),
        source=SOURCE,
        measured_at=now,
    )


def _wanted(api: Api, path: str, spec: Object) -> int:
    """The replicas wanted: in the object where it has them there, else by its `/scale`."""
    if spec.get("replicas") is None:
        spec = part(api.get(f"{path}/scale"), "spec")
    return number(spec.get("replicas"), "spec.replicas")
