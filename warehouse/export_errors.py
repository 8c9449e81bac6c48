"""What can go wrong with an export; each sentence says what to do next.

ExportError
├── NotMetered         a day or a month is not, or not wholly, metered yet
├── BadSpan            the days asked for make no span
├── ExportUnderWay     another export is being written on this warehouse
├── NoSuchExport       no export has this id, or it left no file
├── BadPlace           what is set as the place is none
├── PlaceFailed        the folder or the bucket refused
├── VersionTaken       somebody else wrote this version in the meantime
└── RowsMissing        the metering says more rows than the warehouse gives
"""

from __future__ import annotations

import errno

from warehouse.errors import WarehouseError


class ExportError(WarehouseError):
    """An export could not be made or found; the sentence says what to do next."""


class NotMetered(ExportError):
    """A day or a month is not, or not wholly, metered yet."""


class BadSpan(ExportError):
    """The days asked for make no span."""


class ExportUnderWay(ExportError):
    """Another export is being written on this warehouse."""


class NoSuchExport(ExportError):
    """No export has this id, or it left no file."""


class BadPlace(ExportError):
    """What is set as the place is none."""


class PlaceFailed(ExportError):
    """The folder or the bucket refused."""


class VersionTaken(ExportError):
    """Somebody else wrote this version in the meantime."""


class RowsMissing(ExportError):
    """The metering says more rows than the warehouse gives."""


_ADVICE = {
    errno.ENOSPC: "make room on its disk",
    errno.EDQUOT: "raise the quota or make room",
    errno.EFBIG: "raise the limit on the size of files",
    errno.EACCES: "let this user write there",
    errno.EPERM: "let this user write there",
    errno.EROFS: "it is mounted for reading only: mount it for writing",
    errno.ENOTDIR: "a file is in its way: name a folder",
    errno.ENOENT: "make it, or name another",
}


def folder_failed(url: str, error: OSError) -> PlaceFailed:
    """What a folder's refusal means, and what to do."""
    advice = _ADVICE.get(error.errno or 0, "see that it is there and can be written")
    return PlaceFailed(
        f"{url} did not take the file ({error.strerror or error}): {advice}. "
        "Nothing half-written is left, and it is tried again"
    )


def bucket_failed(url: str, error: OSError) -> PlaceFailed:
    """What a bucket's refusal means, and what to do."""
    text = " ".join(str(error).split())
    advice = "see that it is reachable"
    if "NO_SUCH_BUCKET" in text or "NoSuchBucket" in text:
        advice = "make the bucket, or name another in PILOTHOUSE_EXPORT_PLACE"
    elif "ACCESS_DENIED" in text or "HTTP status 403" in text:
        advice = "let these credentials read, list and write there"
    return PlaceFailed(
        f"{url} refused ({text[:300]}): {advice}. "
        "What has no manifest does not count, and it is tried again"
    )
