"""Where the data of questions lies, and what it takes to read it there and nothing besides."""

from __future__ import annotations

from dataclasses import dataclass

from warehouse.connecting import s3_secret
from warehouse.location import Location, S3Access

_RESOLVING = (
    "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf",
    "/etc/ssl", "/etc/pki", "/usr/share/ca-certificates", "/usr/lib", "/usr/lib64", "/lib",
    "/lib64",
)  # fmt: skip
"""What finding a host by its name and trusting its certificate read."""
_AMAZON_VARIABLES = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE",
    "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_REGION", "AWS_DEFAULT_REGION",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "HOME",
)  # fmt: skip
"""By which Amazon's tools find the credentials of a machine or a pod."""


@dataclass(frozen=True)
class Source:
    """Where the data lies and what it takes to read it."""

    data: str
    """Folder or URL prefix of the Parquet files, with a slash at its end."""
    extensions: tuple[str, ...] = ("ducklake",)
    statements: tuple[str, ...] = ()
    """Said to the DuckDB that answers before it is shut in: the secret of a store of objects. It is
    kept out of `duckdb_secrets()`, and files outside of the open tables' folders can't be read with
    it."""
    readable: tuple[str, ...] = ()
    """Files besides the data that reading needs."""
    ports: tuple[int, ...] = ()
    """TCP ports that reading needs; none where the data is on this machine."""
    variables: tuple[str, ...] = ()
    """Of the environment, forgotten once the secret is made."""

    @classmethod
    def of(cls, location: Location) -> Source:
        """What a location takes."""
        s3 = location.s3
        if s3 is None:
            return cls(location.data)
        is_keyed = bool(s3.key_id)
        return cls(
            location.data,
            ("ducklake", "httpfs") if is_keyed else ("ducklake", "httpfs", "aws"),
            (s3_secret(s3, scope=location.data, is_renewed=False),),
            _RESOLVING,
            (_port(s3),),
            () if is_keyed else _AMAZON_VARIABLES,
        )


def _port(s3: S3Access) -> int:
    _, _, port = s3.endpoint.rpartition(":")
    return int(port) if port.isdecimal() else (443 if s3.use_ssl else 80)
