"""How a decision looks in Slack: blocks, and a line of text for where blocks are not shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from api.embedded_pages import facts_of
from warehouse.approvals import SaidSoFar
from warehouse.decisions import DecisionState

APPROVE, REJECT = "pilothouse_approve", "pilothouse_reject"
REASON_BLOCK, REASON = "pilothouse_reason", "reason"
TEXT_MOST = 2900
"""Characters of a section; Slack refuses more than 3,000."""

Message = dict[str, Any]


def asking(found: DecisionState, said: Sequence[SaidSoFar] = ()) -> Message:
    """A message that asks for a verdict on the decision as proposed."""
    value = json.dumps({"decision_id": found.decision_id, "action_hash": found.action_hash})
    buttons = [
        _button("Approve", APPROVE, value, "primary"),
        _button("Reject", REJECT, value, "danger"),
    ]
    reason = {
        "type": "input",
        "block_id": REASON_BLOCK,
        "optional": True,
        "label": {"type": "plain_text", "text": "Reason (needed for a no)"},
        "element": {"type": "plain_text_input", "action_id": REASON, "max_length": 1000},
    }
    blocks = [*_told(found, said), reason, {"type": "actions", "elements": buttons}]
    return {"text": f"Pilothouse asks: {plain(found.summary)}", "blocks": blocks}


def settled(found: DecisionState, words: str) -> Message:
    """The message once nothing is asked any more."""
    blocks = [*_told(found, ()), _section(f"*{plain(words)}.*")]
    return {"text": f"{plain(found.summary)}: {plain(words)}.", "blocks": blocks}


def plain(text: str) -> str:
    """Text that Slack takes for nothing else: no link, no mention, no channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _told(found: DecisionState, said: Sequence[SaidSoFar]) -> list[Message]:
    facts = facts_of(found, found.parameters, said)
    lines = "\n".join(f"*{plain(name)}:* {plain(words)}" for name, words in facts)
    return [_section(f"*{plain(found.summary)}*\n{plain(found.reason)}"), _section(lines)]


def _section(text: str) -> Message:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:TEXT_MOST]}}


def _button(label: str, action_id: str, value: str, style: str) -> Message:
    text = {"type": "plain_text", "text": label}
    return {"type": "button", "text": text, "action_id": action_id, "value": value, "style": style}
