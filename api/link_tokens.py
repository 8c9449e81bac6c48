"""What is given out of an approval link: its terms, signed, so that nobody can make or stretch one.

The key is the console's own, salted for this purpose: neither a session's cookie nor a form's
token passes for a link, nor the other way round. Nothing of it is stored.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import asdict, dataclass
from datetime import datetime

from itsdangerous import BadSignature, URLSafeSerializer

from warehouse.records import ApprovalLink

SALT = "pilothouse.approval-link"
LENGTH_MAX = 1024
"""Characters; what is longer was not made here and is not looked at."""


@dataclass(frozen=True)
class LinkTerms:
    """What a signed link says. Seconds are since 1970."""

    link_id: str
    decision_id: str
    action_hash: str
    right: str
    expires_seconds: int

    def is_over(self, now: datetime) -> bool:
        """Whether it has expired."""
        return now.timestamp() >= self.expires_seconds


class LinkSigner:
    """Signs links and reads them, and makes the tokens of their forms."""

    def __init__(self, key: bytes) -> None:
        self._signer = URLSafeSerializer(
            key, salt=SALT, signer_kwargs={"digest_method": hashlib.sha256}
        )
        self._form_key = hashlib.sha256(b"embedded-form" + key).digest()

    def signed(self, link: ApprovalLink) -> str:
        """A link as it is given out."""
        terms = LinkTerms(
            link.link_id,
            link.decision_id,
            link.action_hash,
            link.right,
            int(link.expires_at.timestamp()),
        )
        return str(self._signer.dumps(asdict(terms)))

    def terms_of(self, text: str) -> LinkTerms | None:
        """What a link says, or None where it was not made here."""
        if len(text) > LENGTH_MAX:
            return None
        try:
            return LinkTerms(**self._signer.loads(text))
        except (BadSignature, TypeError):
            return None

    def form_token(self, text: str) -> str:
        """What the form on this link's page must carry."""
        return hmac.new(self._form_key, text.encode(), "sha256").hexdigest()

    def form_is_ours(self, text: str, token: str) -> bool:
        """Whether a form was made for this link."""
        return hmac.compare_digest(self.form_token(text).encode(), token.encode())
