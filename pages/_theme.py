"""Colours, type and measures, set once. `assets/console.css` has the rest.

One accent, the green of a harbour light; red and amber are kept for what needs a person.
"""

from __future__ import annotations

from typing import Any

FONT = '"Inter", ui-sans-serif, system-ui, -apple-system, "Segoe UI", sans-serif'

THEME: dict[str, Any] = {
    "primaryColor": "harbour",
    "primaryShade": {"light": 8, "dark": 8},
    "autoContrast": True,
    "luminanceThreshold": 0.36,
    "fontFamily": FONT,
    "fontFamilyMonospace": 'ui-monospace, "SF Mono", "DejaVu Sans Mono", monospace',
    "headings": {"fontFamily": FONT, "fontWeight": "600"},
    "defaultRadius": "sm",
    "radius": {"xs": "3px", "sm": "6px", "md": "8px", "lg": "12px", "xl": "20px"},
    "fontSizes": {"xs": "12px", "sm": "13px", "md": "14px", "lg": "16px", "xl": "20px"},
    "spacing": {"xs": "8px", "sm": "12px", "md": "16px", "lg": "20px", "xl": "28px"},
    "cursorType": "pointer",
    "colors": {
        "harbour": [
            "#e6f8f4",
            "#c9efe7",
            "#98dfd0",
            "#64cdb8",
            "#3abda4",
            "#20b195",
            "#12a58a",
            "#0a8f77",
            "#0b7564",
            "#0a5b4f",
        ],
        "dark": [
            "#d6dee6",
            "#aab7c4",
            "#8594a3",
            "#5d6d7c",
            "#2b3844",
            "#22303b",
            "#18232c",
            "#121b23",
            "#0c141a",
            "#080e13",
        ],
        "gray": [
            "#f6f8f9",
            "#eef2f4",
            "#e3e9ed",
            "#d3dce2",
            "#b9c6cf",
            "#93a3af",
            "#677886",
            "#465563",
            "#2c3945",
            "#18222b",
        ],
        "red": [
            "#fff0ef",
            "#fddcda",
            "#f9b5b1",
            "#f48c86",
            "#ee6a62",
            "#e9534a",
            "#dd4138",
            "#c4332b",
            "#a82a23",
            "#8c211c",
        ],
        "amber": [
            "#fff7e3",
            "#feecc4",
            "#fcd98b",
            "#f8c353",
            "#f2ae2b",
            "#e09b13",
            "#c5840a",
            "#9f690a",
            "#7f540c",
            "#63420d",
        ],
        "blue": [
            "#eaf3fd",
            "#d2e5fa",
            "#a4caf4",
            "#73adee",
            "#4b95e8",
            "#337fdb",
            "#276cc2",
            "#1f5aa3",
            "#1a4a86",
            "#163c6c",
        ],
    },
    "components": {
        "Button": {"defaultProps": {"size": "xs"}},
        "ActionIcon": {"defaultProps": {"variant": "subtle", "color": "gray"}},
        "TextInput": {"defaultProps": {"size": "xs"}},
        "NumberInput": {"defaultProps": {"size": "xs"}},
        "Textarea": {"defaultProps": {"size": "xs"}},
        "Select": {"defaultProps": {"size": "xs"}},
        "MultiSelect": {"defaultProps": {"size": "xs"}},
        "SegmentedControl": {"defaultProps": {"size": "xs"}},
        "Badge": {"defaultProps": {"radius": "sm", "variant": "light", "tt": "none", "fw": 500}},
        "Tooltip": {"defaultProps": {"openDelay": 250, "withArrow": True}},
    },
}

SERIES = ("harbour.5", "blue.5", "amber.4", "grape.5", "orange.5", "cyan.6")
"""Colours of series in charts, in order; pools keep theirs across pages."""

STATE_COLORS: dict[str, str] = {
    "queued": "amber", "running": "harbour", "finished": "gray", "failed": "red", "left": "orange",
    "active": "harbour", "provisioning": "blue", "cordoned": "amber", "down": "red", "off": "gray",
    "waiting": "amber", "approved": "blue", "carrying_out": "blue", "carried_out": "harbour",
    "measured": "harbour", "rejected": "gray", "lapsed": "gray", "refused": "orange",
    "withdrawn": "gray",
    "undoing": "blue", "undone": "grape", "undo_failed": "red", "shadow": "indigo",
    "intended": "blue", "done": "harbour", "reverted": "grape",
    "suspect": "red", "detected": "red", "quarantined": "amber", "repairing": "blue",
    "returned": "harbour", "passed": "gray", "gone": "gray",
    "noted": "gray", "succeeded": "harbour", "timed_out": "orange", "skipped": "gray",
}  # fmt: skip
"""The colour of every state of jobs, nodes, decisions and runs."""
