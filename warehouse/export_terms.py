"""Where exports go and what names they bear, as the settings say."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from warehouse.export_places import Place, place_at
from warehouse.focus import Names
from warehouse.location import S3, S3Access, s3_access
from warehouse.settings import Settings

FOLDER = "exports"
"""Where they go if nothing is set: this folder in the home."""


@dataclass(frozen=True)
class ExportTerms:
    """Where exports go and what names they bear."""

    place: str
    """A folder, or `s3://bucket/prefix`."""
    names: Names = field(default_factory=Names)
    s3: S3Access | None = None
    """How the S3 is reached, where the place is on one."""

    @classmethod
    def at_home(cls, home: Path) -> ExportTerms:
        """The default."""
        return cls(str(home / FOLDER))

    def opened(self) -> Place:
        """The place itself.

        Raises:
            BadPlace: it is none.
        """
        return place_at(self.place, self.s3)


def terms_of(settings: Settings, place: str = "") -> ExportTerms:
    """What the settings say; `place` goes before theirs. A bucket is reached as the warehouse's
    own is, by the settings of S3.

    Raises:
        Refused: the settings of S3 don't go together.
    """
    place = place or settings.export_place.strip() or str(settings.home / FOLDER)
    return ExportTerms(
        place=place,
        names=Names(
            provider=settings.export_provider,
            invoice_issuer=settings.export_invoice_issuer,
            host_provider=settings.export_host_provider,
            billing_account_id=settings.export_billing_account_id,
            billing_account_name=settings.export_billing_account_name,
            service=settings.export_service,
        ),
        s3=s3_access(settings) if place.startswith(S3) else None,
    )
