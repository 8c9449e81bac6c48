"""What a person says about a cluster is read whole, or refused with where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.errors import NotConfigured
from cluster.settings import POOL_LABELS, ClusterSettings, read_pools

STATIC = "apis/karpenter.sh/v1/nodepools/h100-us-east"


def written(folder: Path, text: str) -> Path:
    path = folder / "pools.toml"
    path.write_text(text)
    return path


def test_without_a_word_there_is_no_cluster() -> None:
    settings = ClusterSettings()
    assert not settings.is_given
    assert settings.pools == {}
    assert settings.pool_label_names == POOL_LABELS
    assert ClusterSettings(in_cluster=True).is_given
    assert ClusterSettings(kubeconfig=Path("k")).is_given


def test_labels_are_looked_for_in_the_order_given() -> None:
    settings = ClusterSettings(pool_labels=" mine , , pilothouse.dev/pool")
    assert settings.pool_label_names == ("mine", "pilothouse.dev/pool")


def test_a_pool_has_its_lever_and_its_prices(tmp_path: Path) -> None:
    text = f'[pools.h100]\nscale = "{STATIC}"\nprice_usd_per_gpu_hour = 2.6\ngpus_per_node = 8\n'
    pool = ClusterSettings(pools_file=written(tmp_path, text)).pools["h100"]
    assert pool.scale == f"/{STATIC}"
    assert pool.price_usd_per_gpu_hour == 2.6
    assert pool.placeholder is None
    assert pool.owned_nodes is None


@pytest.mark.parametrize(
    "path",
    [
        "/apis/apps/v1/namespaces/web/deployments/filler",
        "apis/cluster.x-k8s.io/v1beta2/namespaces/default/machinedeployments/gpu.a",
    ],
)
def test_an_objects_path_may_have_a_namespace_and_a_leading_stroke(
    tmp_path: Path, path: str
) -> None:
    pools = read_pools(written(tmp_path, f'[pools.a]\nplaceholder = "{path}"\n'))
    assert pools["a"].placeholder == "/" + path.removeprefix("/")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[pools.a\n", "can't be read"),
        ('[pools.a]\nscale = "nodepools/a"\n', "pools.a.scale"),
        ('[pools.a]\nscale = "apis/apps/v1/deployments"\n', "an object's path is"),
        ("[pools.a]\nprice = 3\n", "pools.a.price"),
        ("[pools.a]\ngpus_per_node = 0\n", "pools.a.gpus_per_node"),
        ("[pools.a]\nprice_usd_per_gpu_hour = 0\n", "pools.a.price_usd_per_gpu_hour"),
        ("[pools.a]\nowned_idle_usd_per_gpu_hour = -1\n", "owned_idle_usd_per_gpu_hour"),
        ("[pools]\na = 3\n", "pools.a"),
        ("pools = 3\n", "pools: it holds tables"),
        ('[pool.a]\nscale = "x"\n', "pool: it holds tables"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(NotConfigured) as refused:
        read_pools(path)
    assert str(path) in str(refused.value)
    assert said in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match=r"nowhere\.toml"):
        read_pools(tmp_path / "nowhere.toml")
