"""How the embedded decision looks: plain HTML without a script, for frames from 320 px on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import quote

from warehouse.approval_links import REASON_LENGTH_MAX, USED
from warehouse.approvals import SaidSoFar
from warehouse.decisions import DecisionState
from warehouse.records import ApprovalLink

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title} - Pilothouse</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/embed.css">
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""

_FATES = {
    "noted": "It is on record only: nothing is to be decided",
    "shadow": "It is on record only: nothing is to be decided",
    "lapsed": "It has expired: nobody decided in time; the engine proposes anew if need be",
    "rejected": "Rejected",
    "approved": "Approved; it is about to be carried out",
    "withdrawn": "Approved, and taken back before it was carried out",
    "carrying_out": "Approved; it is being carried out",
    "refused": "Approved, and held back before it was carried out",
    "failed": "Approved; carrying it out failed",
}
"""What became of a decision, by its state; of all others it was carried out."""
_CARRIED_OUT = "Approved and carried out"


def fate(
    found: DecisionState, link: ApprovalLink, said: Sequence[SaidSoFar], *, is_used_up: bool
) -> str | None:
    """Why nothing can be said to a decision by this link any more; None where it can."""
    if found.state != "waiting":
        return outcome(found)
    yeses = [one for one in said if one.action_hash == link.action_hash]
    if link.speaks_for is not None and any(link.speaks_for in one.approved_by for one in yeses):
        return f"{link.speaks_for} has said yes. It waits for another person's yes to the same"
    return USED[0].upper() + USED[1:] if is_used_up else None


def outcome(found: DecisionState) -> str:
    """What became of a decision that no longer waits, and who decided it."""
    words = _FATES.get(found.state, _CARRIED_OUT)
    if found.decided_by is None or found.state == "lapsed":
        return words
    return f"Decided by {found.deciders or found.decided_by}: {words[0].lower()}{words[1:]}"


def decision_page(
    found: DecisionState,
    parameters: Mapping[str, Any],
    *,
    said: Sequence[SaidSoFar],
    fate: str,
    answer: str,
    error: str = "",
) -> str:
    """A decision, what was said to it, and how to answer."""
    facts = facts_of(found, parameters, said)
    rows = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>\n" for k, v in facts)
    return _page(
        found.summary,
        f"""<p class="kicker">Pilothouse asks</p>
<h1>{escape(found.summary)}</h1>
{_notice(error)}{_notice(fate, is_news=True)}<p class="why">{escape(found.reason)}</p>
<dl>
{rows}</dl>
{answer}""",
    )


def facts_of(
    found: DecisionState, parameters: Mapping[str, Any], said: Sequence[SaidSoFar]
) -> list[tuple[str, str]]:
    """What is told of a decision besides its sentence and its reason, by name."""
    facts = [("On", found.target), *_parameters(parameters)]
    facts += [
        ("Expected gain", _gain(found)),
        ("Cost of disruption", _dollars(found.disruption_cost_usd)),
        ("Proposed by", f"{found.policy}, {_when(found.proposed_at)}"),
        ("Expires", _when(found.expires_at)),
    ]
    if found.state == "waiting":
        facts += [("Said so far", one.words) for one in said]
    if found.verdict_reason and found.state != "waiting":
        facts.append(("Their reason", found.verdict_reason))
    return facts


def form(form_token: str, link: str, decision_id: str, speaks_for: str) -> str:
    """The two buttons of a link that carries a verdict."""
    action = f"/embed/decisions/{quote(decision_id, safe='')}?link={quote(link, safe='')}"
    return f"""<form method="post" action="{escape(action)}">
<input type="hidden" name="form_token" value="{escape(form_token)}">
<label for="reason">Reason <span>(needed for a no)</span></label>
<input type="text" id="reason" name="reason" maxlength="{REASON_LENGTH_MAX}" autocomplete="off">
<div class="buttons">
<button type="submit" name="verdict" value="approve" id="approve">Approve</button>
<button type="submit" name="verdict" value="reject" id="reject" class="no">Reject</button>
</div>
<p class="hint">You answer as <b>{escape(speaks_for)}</b>, once.</p>
</form>"""


def way_in(decision_id: str) -> str:
    """The way to the console's own page; signing in is never done within a frame."""
    href = f"/decisions?search={quote(decision_id, safe='')}"
    return f"""<a class="button" href="{escape(href)}" target="_blank" rel="noopener noreferrer"
 id="way-in">Decide in the console</a>
<p class="hint">It opens in a tab of its own, and asks you to sign in.</p>"""


def over_page(words: str) -> str:
    """What a link says that opens nothing any more."""
    return _page("Nothing to decide here", f"<h1>Nothing to decide here</h1>\n{_notice(words)}")


def no_link_page() -> str:
    """What is said to who has no link, or one that was not made here."""
    return _page(
        "This link was not made here",
        f"""<h1>This link was not made here</h1>
{_notice("it is not whole, was changed, or is for another decision: ask for a new one")}""",
    )


def _page(title: str, body: str) -> str:
    return _PAGE.format(title=escape(title), body=body)


def _notice(text: str, *, is_news: bool = False) -> str:
    if not text:
        return ""
    role, style = ("status", "notice news") if is_news else ("alert", "notice")
    words = escape(text if is_news else text[0].upper() + text[1:])
    return f'<p class="{style}" id="{"fate" if is_news else "notice"}" role="{role}">{words}.</p>\n'


def _parameters(parameters: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(_label(name), f"{parameters[name]}") for name in parameters]


def _label(name: str) -> str:
    """A parameter's name in words, its unit as people write it."""
    words = name.replace("_", " ").replace(" usd per gpu hour", ", $ per GPU-hour")
    return words[0].upper() + words[1:]


def _gain(found: DecisionState) -> str:
    low, high = found.expected_gain_low_usd_per_hour, found.expected_gain_high_usd_per_hour
    return (
        f"{_dollars(found.expected_gain_usd_per_hour)}/h "
        f"({_dollars(low)} to {_dollars(high)}, {found.interval_ratio:.0%} sure)"
    )


def _dollars(amount_usd: float) -> str:
    return f"{'-' if amount_usd < 0 else ''}${abs(amount_usd):,.2f}"


def _when(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%-d %b %Y, %H:%M UTC")
