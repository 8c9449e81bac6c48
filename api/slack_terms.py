"""What the console is told of Slack at its start: where to post, who is who, what proves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import SecretStr

from warehouse.settings import Settings

RESPONSE_PREFIXES = ("https://hooks.slack.com/",)


@dataclass(frozen=True)
class SlackTerms:
    """What the console is told of Slack. Secrets are `SecretStr`, which no log spells out."""

    webhook_url: SecretStr | None = None
    bot_token: SecretStr | None = None
    channel: str = ""
    signing_secret: SecretStr | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    """Names of our users by Slack's ids."""
    api_url: str = "https://slack.com/api/"
    response_prefixes: tuple[str, ...] = RESPONSE_PREFIXES
    """So begin the addresses at which Slack takes answers to a button."""

    @classmethod
    def of(cls, settings: Settings) -> SlackTerms:
        """From the console's settings."""
        return cls(
            settings.slack_webhook_url,
            settings.slack_bot_token,
            settings.slack_channel,
            settings.slack_signing_secret,
            users_of(settings.slack_users),
        )

    @property
    def can_post(self) -> bool:
        """Whether there is anywhere to post to."""
        return self.webhook_url is not None or self.is_app

    @property
    def is_app(self) -> bool:
        """Whether it posts as an app, which can change its messages later."""
        return self.bot_token is not None and bool(self.channel)


def users_of(text: str) -> dict[str, str]:
    """`U012AB3CD=alice,U045EF6GH=bob` as a mapping."""
    pairs = (each.partition("=") for each in text.split(",") if each.strip())
    return {slack_id.strip(): name.strip() for slack_id, _, name in pairs}
