"""A provider's name of a GPU as our name of the model: form and, where it differs, memory told.

A name is read as NVIDIA's driver would give it, for example `NVIDIA H100 80GB HBM3`, or as its
family, form and memory in any order. Whatever isn't understood to the last word has no model:
a modified card, a slice of one, or a bare `H100` whose form nobody told. Nothing is guessed; a
person sees such names listed and may add them here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

BYTES_PER_GIBIBYTE = 2**30

Form = Literal["SXM", "PCIe", "NVL"]

LEAST_MEMORY_RATIO = 0.86
MOST_MEMORY_RATIO = 1.08
"""How far a memory as told may lie from a model's own: drivers count what is left after error
correction (an L4 of 24 GB has 22.5), makers count in tens (a B200 of 192 GB has 179 GiB)."""


@dataclass(frozen=True)
class GpuModel:
    """A model as it is compared: two of different form or memory are two models."""

    name: str
    """Ours, for example `H100 SXM` or `A100 PCIe 40GB`"""
    family: str
    """without form and memory, in small letters"""
    form: Form | None
    """None where the maker has but one"""
    memory_gibibytes: float


def _family(
    name: str, *memories: float, forms: tuple[Form, ...] = (), family: str = ""
) -> tuple[GpuModel, ...]:
    key = family or name.lower()
    return tuple(
        GpuModel(_full_name(name, form, memory, memories), key, form, memory)
        for form in (forms or (None,))
        for memory in memories
    )


def _full_name(name: str, form: Form | None, memory: float, memories: tuple[float, ...]) -> str:
    words = [name, form or "", f"{memory:g}GB" if len(memories) > 1 else ""]
    return " ".join(word for word in words if word)


MODELS: tuple[GpuModel, ...] = (
    # data centre, more than one form
    *_family("H100", 80, forms=("SXM", "PCIe")),
    *_family("H100", 94, forms=("NVL",)),
    *_family("H200", 141, forms=("SXM", "NVL")),
    *_family("A100", 40, 80, forms=("SXM", "PCIe")),
    *_family("V100", 16, 32, forms=("SXM", "PCIe")),
    *_family("H800", 80, forms=("SXM", "PCIe")),
    *_family("A800", 80, forms=("SXM", "PCIe")),
    # data centre, one form
    *_family("B200", 180),
    *_family("B300", 270),
    *_family("GB200", 186),
    *_family("GB300", 278),
    *_family("GH200", 96, 144),
    *_family("H20", 96),
    *_family("L40S", 48),
    *_family("L40", 48),
    *_family("L20", 48),
    *_family("L4", 24),
    *_family("A10", 24),
    *_family("A10G", 24),
    *_family("A16", 16),
    *_family("A2", 16),
    *_family("A30", 24),
    *_family("A40", 48),
    *_family("T4", 16),
    *_family("P4", 8),
    *_family("P40", 24),
    *_family("P100", 16),
    *_family("K80", 12),
    *_family("M60", 8),
    *_family("MI210", 64),
    *_family("MI250", 128),
    *_family("MI250X", 128),
    *_family("MI300X", 192),
    *_family("MI325X", 256),
    *_family("MI350X", 288),
    *_family("MI355X", 288),
    # workstations
    *_family("RTX A2000", 6, 12),
    *_family("RTX A4000", 16),
    *_family("RTX A4500", 20),
    *_family("RTX A5000", 24),
    *_family("RTX A5500", 24),
    *_family("RTX A6000", 48),
    *_family("RTX 2000 Ada", 16),
    *_family("RTX 4000 Ada", 20),
    *_family("RTX 4000 SFF Ada", 20),
    *_family("RTX 4500 Ada", 24),
    *_family("RTX 5000 Ada", 32),
    *_family("RTX 5880 Ada", 48),
    *_family("RTX 6000 Ada", 48),
    *_family("RTX PRO 4000", 24),
    *_family("RTX PRO 4500", 32),
    *_family("RTX PRO 5000", 48, 72),
    *_family("RTX PRO 6000 Server", 96),
    *_family("RTX PRO 6000 Workstation", 96),
    *_family("RTX PRO 6000 Max-Q", 96),
    *_family("Quadro RTX 4000", 8),
    *_family("Quadro RTX 5000", 16),
    *_family("Quadro RTX 6000", 24),
    *_family("Quadro RTX 8000", 48),
    # desktops
    *_family("RTX 5090", 32),
    *_family("RTX 5080", 16),
    *_family("RTX 5070 Ti", 16),
    *_family("RTX 5070", 12),
    *_family("RTX 5060 Ti", 8, 16),
    *_family("RTX 5060", 8),
    *_family("RTX 4090", 24),
    *_family("RTX 4090 D", 24),
    *_family("RTX 4080 Super", 16),
    *_family("RTX 4080", 16),
    *_family("RTX 4070 Ti Super", 16),
    *_family("RTX 4070 Ti", 12),
    *_family("RTX 4070 Super", 12),
    *_family("RTX 4070", 12),
    *_family("RTX 4060 Ti", 8, 16),
    *_family("RTX 4060", 8),
    *_family("RTX 3090 Ti", 24),
    *_family("RTX 3090", 24),
    *_family("RTX 3080 Ti", 12),
    *_family("RTX 3080", 10, 12),
    *_family("RTX 3070 Ti", 8),
    *_family("RTX 3070", 8),
    *_family("RTX 3060 Ti", 8),
    *_family("RTX 3060", 12),
    *_family("RTX 3050", 8),
    *_family("RTX 2080 Ti", 11),
    *_family("RTX 2080 Super", 8),
    *_family("RTX 2080", 8),
    *_family("RTX 2070 Super", 8),
    *_family("RTX 2070", 8),
    *_family("RTX 2060", 6),
    *_family("GTX 1080 Ti", 11),
    *_family("GTX 1080", 8),
    *_family("GTX 1070 Ti", 8),
    *_family("GTX 1070", 8),
    *_family("GTX 1060", 6),
    *_family("GTX 1660 Super", 6),
    *_family("GTX 1660", 6),
    *_family("Titan RTX", 24),
    *_family("Titan V", 12),
)
"""Every model we tell from the others; memory is of one GPU, in GiB."""

ALIASES = {
    "a2000": "rtx a2000",
    "a4000": "rtx a4000",
    "a4500": "rtx a4500",
    "a5000": "rtx a5000",
    "a5500": "rtx a5500",
    "a6000": "rtx a6000",
    "rtx4000 ada": "rtx 4000 ada",
    "rtx6000 ada": "rtx 6000 ada",
    "6000 ada": "rtx 6000 ada",
    "rtx 6000 ada generation": "rtx 6000 ada",
    "rtx pro 6000 se": "rtx pro 6000 server",
    "rtx pro 6000 s": "rtx pro 6000 server",
    "rtx pro 6000 we": "rtx pro 6000 workstation",
    "rtx pro 6000 wk": "rtx pro 6000 workstation",
    "rtx pro 6000 ws": "rtx pro 6000 workstation",
    "rtx pro 6000 workstation max-q": "rtx pro 6000 max-q",
    "rtx pro 6000 max-q workstation": "rtx pro 6000 max-q",
    "rtx 4090d": "rtx 4090 d",
}
"""Other spellings of a family, each meaning one card and no other."""

DRIVERS_FORM: dict[str, Form] = {"h200": "SXM"}
"""Families that NVIDIA's driver names without a form where they are SXM: `NVIDIA H200`, beside
`NVIDIA H200 NVL`. Of an H100 or an A100 it names the form or the memory's kind always."""

MEMORY_KIND_FORM: dict[tuple[str, str], Form] = {("h100", "hbm3"): "SXM"}
"""`NVIDIA H100 80GB HBM3` is how the driver names the SXM; the PCIe card says so."""

NATIVE_FORM: dict[str, Form] = {
    **dict.fromkeys(("b200", "b300", "gb200", "gb300", "mi300x", "mi325x", "mi350x"), "SXM"),
    **dict.fromkeys(("l40s", "l40", "l4", "a10", "a30", "a40", "t4", "a2", "a16", "p100"), "PCIe"),
}
"""The form of families that have but one, which may be told and changes nothing."""

SILENT_WORDS = frozenset(
    {
        "nvidia", "amd", "geforce", "tesla", "instinct", "gpu", "gpus", "tensor", "core", "vram",
        "edition", "generation", "blackwell", "grace", "hopper", "ampere", "volta", "oam", "ecc",
        "hbm2", "hbm2e", "hbm3", "hbm3e", "gddr6", "gddr6x", "gddr7",
    }
)  # fmt: skip
"""Words that tell no model from another."""

_FORM_WORDS: dict[str, Form] = {
    "sxm": "SXM",
    "hgx": "SXM",
    "pcie": "PCIe",
    "pci-e": "PCIe",
    "fhhl": "PCIe",
    "nvl": "NVL",
}

_MEMORY = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)\s*(?:gb|gib|g)\b(?!\.)")


@dataclass(frozen=True)
class _Words:
    """A name taken apart."""

    family: str
    form: Form | None
    memory_gibibytes: float | None


def model_of(
    name: str, *, memory_bytes: float | None = None, form: Form | None = None
) -> str | None:
    """Our name of a provider's GPU; None where it isn't known for certain.

    `memory_bytes` is of one GPU and `form` what the provider tells elsewhere, for example by the
    instance's type; either that contradicts the name makes it unknown.
    """
    found = models_like(name, memory_bytes=memory_bytes, form=form)
    return found[0] if len(found) == 1 else None


def models_like(
    name: str, *, memory_bytes: float | None = None, form: Form | None = None
) -> tuple[str, ...]:
    """Every model that a name may mean: one where it is certain, several where it leaves open."""
    words = _taken_apart(name)
    if words is None or (words.form and form and words.form != form):
        return ()
    told_form = words.form or form or DRIVERS_FORM.get(words.family)
    memories = [words.memory_gibibytes]
    if memory_bytes is not None:
        memories.append(memory_bytes / BYTES_PER_GIBIBYTE)
    told = [memory for memory in memories if memory is not None]
    return tuple(
        model.name
        for model in MODELS
        if model.family == words.family
        and _has_form(model, told_form)
        and all(_has_memory(model, memory) for memory in told)
    )


def family_of(name: str) -> str | None:
    """A name's family in small letters, form and memory left out, whether it is known or not."""
    words = _taken_apart(name)
    return words.family if words and words.family else None


def _has_form(model: GpuModel, form: Form | None) -> bool:
    if form is None:
        return True
    return form == (model.form or NATIVE_FORM.get(model.family))


def _has_memory(model: GpuModel, gibibytes: float) -> bool:
    return LEAST_MEMORY_RATIO <= gibibytes / model.memory_gibibytes <= MOST_MEMORY_RATIO


def _taken_apart(name: str) -> _Words | None:
    text = re.sub(r"[_(),/\[\]]+|-(?!q\b|e\b)", " ", name.lower())
    memories = {float(amount) for amount in _MEMORY.findall(text)}
    if len(memories) > 1:
        return None
    words = _separated(_MEMORY.sub(" ", text)).split()
    forms = {_FORM_WORDS[word] for word in words if word in _FORM_WORDS}
    kept = [w for w in words if w not in _FORM_WORDS and w not in SILENT_WORDS]
    # A bridge between cards is no form: `PCIe NVLink` is a PCIe card, `NVLink` alone says nothing.
    family = " ".join(word for word in kept if word != "nvlink" or not forms)
    family = ALIASES.get(family, family)
    forms |= {MEMORY_KIND_FORM[family, w] for w in words if (family, w) in MEMORY_KIND_FORM}
    if len(forms) > 1:
        return None
    return _Words(family, next(iter(forms), None), next(iter(memories), None))


def _separated(text: str) -> str:
    """With a gap where names are written together: `rtx4090`, `3080ti`, `sxm5`, `h100sxm`."""
    text = re.sub(r"\b(rtx|gtx)(?=a?\d)", r"\1 ", text)
    text = re.sub(r"(?<=\d)(ti|super|ada)\b", r" \1", text)
    text = re.sub(r"\b([a-z]{1,2}\d{2,3})(sxm|pcie|nvl)\b", r"\1 \2", text)
    return re.sub(r"\bsxm\d\b", "sxm", text)
