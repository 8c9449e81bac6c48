"""Small words that every room writes alike."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """So many of a thing: `1 node`, `2 nodes`, `0 nodes`. The noun's plural ends in s."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
