"""Names of GPUs: read to the last word, and never guessed."""

from __future__ import annotations

import pytest

from warehouse.gpu_names import MODELS, family_of, model_of, models_like

GIB = 2**30


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("H100 SXM", "H100 SXM"),
        ("H100 (80 GB SXM5)", "H100 SXM"),
        ("H100_80GB SXM5", "H100 SXM"),
        ("NVIDIA HGX H100", "H100 SXM"),
        ("H100 PCIE", "H100 PCIe"),
        ("NVIDIA H100 PCIe NVLink", "H100 PCIe"),
        ("NVIDIA H100 NVL", "H100 NVL"),
        ("H100NVL", "H100 NVL"),
        ("NVIDIA H200", "H200 SXM"),
        ("H200_141GB", "H200 SXM"),
        ("H200 NVL", "H200 NVL"),
        ("NVIDIA A100-SXM4-80GB", "A100 SXM 80GB"),
        ("NVIDIA A100 80GB PCIe", "A100 PCIe 80GB"),
        ("A100 SXM4 40GB", "A100 SXM 40GB"),
        ("B200 (180 GB SXM6)", "B200"),
        ("GH200 (96 GB)", "GH200 96GB"),
        ("AMD Instinct MI300X OAM", "MI300X"),
        ("A10G (24 GB)", "A10G"),
        ("A10", "A10"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("rtx4090", "RTX 4090"),
        ("RTX 3080Ti", "RTX 3080 Ti"),
        ("A6000", "RTX A6000"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada"),
        ("Quadro RTX 6000", "Quadro RTX 6000"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTX PRO 6000 Server"),
        ("Tesla V100-SXM2-16GB", "V100 SXM 16GB"),
        ("Tesla V100-FHHL-16GB", "V100 PCIe 16GB"),
    ],
)
def test_a_name_that_tells_all_is_one_model(name, model):
    assert model_of(name) == model


@pytest.mark.parametrize(
    "name",
    [
        "",
        "H100",
        "H100 (80 GB)",
        "NVIDIA H100 NVLink",
        "A100",
        "A100 80GB",
        "A100 SXM",
        "GH200",
        "V100",
        "RTX 6000",
        "RTX PRO 6000",
        "RTX 4090 (48 GB mod)",
        "RTX 4090 (High freq.)",
        "RTX 4090 Laptop",
        "H100 MIG 1g.10gb",
        "NVIDIA A100X",
        "B200 NVL",
        "H100 SXM PCIe",
        "A100 40GB 80GB SXM",
        "H100 PCIe 94GB",
        "2x H100 SXM",
        "Radeon Pro V520",
    ],
)
def test_a_name_that_leaves_something_open_is_none(name):
    assert model_of(name) is None


def test_memory_told_elsewhere_decides_and_memory_that_contradicts_makes_it_unknown():
    assert model_of("A100 SXM4", memory_bytes=40960 * 2**20) == "A100 SXM 40GB"
    assert model_of("A100 SXM4", memory_bytes=81920 * 2**20) == "A100 SXM 80GB"
    assert model_of("RTX 4090", memory_bytes=24564 * 2**20) == "RTX 4090"
    assert model_of("RTX 4090", memory_bytes=49140 * 2**20) is None
    assert model_of("H100 SXM", memory_bytes=94 * GIB) is None
    assert model_of("B200", memory_bytes=192e9) == "B200"
    assert model_of("L4", memory_bytes=23034 * 2**20) == "L4"


def test_a_form_told_elsewhere_decides_and_one_that_contradicts_makes_it_unknown():
    assert model_of("H100", form="SXM") == "H100 SXM"
    assert model_of("A100", form="PCIe", memory_bytes=80 * GIB) == "A100 PCIe 80GB"
    assert model_of("H100 PCIe", form="SXM") is None
    assert model_of("L40S", form="PCIe") == "L40S"
    assert model_of("H100", form="NVL", memory_bytes=80 * GIB) is None


def test_what_a_name_may_mean_is_listed_for_whoever_decides():
    assert models_like("H100") == ("H100 SXM", "H100 PCIe", "H100 NVL")
    assert models_like("A100", memory_bytes=80 * GIB) == ("A100 SXM 80GB", "A100 PCIe 80GB")
    assert models_like("A 9000") == ()


def test_a_family_is_told_whether_known_or_not():
    assert family_of("NVIDIA H100 80GB HBM3") == "h100"
    assert family_of("Radeon Pro V520") == "radeon pro v520"
    assert family_of("40GB 80GB") is None


def test_every_model_knows_itself_by_its_own_name():
    assert [model_of(model.name) for model in MODELS] == [model.name for model in MODELS]
