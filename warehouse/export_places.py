"""Where exports go: a folder, or a prefix of a bucket on any S3. Written whole, or not at all.

A version of an export is a folder with a data file and its manifest. In a folder both are written
under a name that no reader takes, brought to the disk, and appear at once by one renaming of the
folder that holds them, which fails where that version is there already. On S3 an object appears
whole or not at all; the data goes first and the manifest last, and what has no manifest does not
count.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Protocol, cast
from urllib.parse import urlsplit

from pyarrow import fs

from warehouse.export_errors import BadPlace, VersionTaken, bucket_failed, folder_failed
from warehouse.location import S3Access

DATA_NAME = "part-0.parquet"
MANIFEST_NAME = "_manifest.json"
"""Begins with an underscore, so that Spark and Arrow pass it over when they read a folder."""
INDEX_NAME = "_index.json"
PARTIAL = ".partial"
"""Where a folder's unfinished versions lie: beside the hive folders, never under them."""

S3_CONNECT_SECONDS = 5.0
S3_REQUEST_SECONDS = 60.0
S3_TRIES = 3
CHUNK_BYTES = 4 * 2**20
LEFT_SECONDS = 86_400.0
"""Age at which an unfinished version is taken for one that a kill left."""

_VERSION = re.compile(r"^version=([1-9][0-9]*)$")


class Place(Protocol):
    """Where exports go. Paths are relative, with slashes."""

    url: str
    """As set, and as it is kept with each export."""

    def staging(self) -> contextlib.AbstractContextManager[Path]:
        """A local folder in which a version is prepared; what is left in it goes."""

    def publish(self, prepared: Path, path: str) -> None:
        """Make a prepared version appear at a path, whole; `VersionTaken` if one is there."""

    def versions(self, path: str) -> list[int]:
        """The versions below a path that have a manifest, in order."""

    def read(self, path: str) -> bytes:
        """A small file, whole."""

    def open(self, path: str) -> BinaryIO:
        """A file, to be read from anywhere in it."""

    def replace(self, path: str, content: bytes) -> None:
        """Put a small file in the place of another, at once."""


def place_at(url: str, s3: S3Access | None = None) -> Place:
    """The place that a folder or an `s3://bucket/prefix` names.

    Raises:
        BadPlace: it names neither.
    """
    if "://" not in url:
        return FolderPlace(Path(url))
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc:
        raise BadPlace(f"{url} is no place for exports: name a folder, or s3://bucket/prefix")
    return S3Place(url, s3 or S3Access())


class FolderPlace:
    """A folder on a disk of this machine or mounted on it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.expanduser().absolute()
        self.url = str(self._folder)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """On the same disk as the place, since a renaming crosses none."""
        partial = self._folder / PARTIAL
        made = partial / secrets.token_hex(8)
        try:
            made.mkdir(parents=True)
            _sweep(partial)
            yield made
        except OSError as error:
            raise folder_failed(self.url, error) from error
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def publish(self, prepared: Path, path: str) -> None:
        target = self._folder / path
        try:
            for each in prepared.iterdir():
                _bring_to_disk(each)
            _bring_to_disk(prepared)
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                raise VersionTaken(f"{target} is there already: ask again for the next version")
            prepared.rename(target)
            _bring_to_disk(target.parent)
        except OSError as error:
            if target.exists() and prepared.exists():
                raise VersionTaken(f"{target} came meanwhile: ask again") from error
            raise folder_failed(self.url, error) from error

    def versions(self, path: str) -> list[int]:
        folder = self._folder / path
        if not folder.is_dir():
            return []
        return _numbered(each.parent.name for each in folder.glob(f"version=*/{MANIFEST_NAME}"))

    def read(self, path: str) -> bytes:
        return (self._folder / path).read_bytes()

    def open(self, path: str) -> BinaryIO:
        return (self._folder / path).open("rb")

    def replace(self, path: str, content: bytes) -> None:
        target = self._folder / path
        beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            beside.write_bytes(content)
            _bring_to_disk(beside)
            beside.replace(target)
            _bring_to_disk(target.parent)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise folder_failed(self.url, error) from error


class S3Place:
    """A prefix of a bucket."""

    def __init__(self, url: str, access: S3Access) -> None:
        parts = urlsplit(url)
        self.url = url.rstrip("/")
        self._prefix = PurePosixPath(parts.netloc) / parts.path.strip("/")
        self._files = _s3_files(access)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="pilothouse-export-") as folder:
            try:
                yield Path(folder)
            except OSError as error:
                raise folder_failed(folder, error) from error

    def publish(self, prepared: Path, path: str) -> None:
        if PurePosixPath(path).name in {
            f"version={each}" for each in self.versions(str(PurePosixPath(path).parent))
        }:
            raise VersionTaken(f"{self.url}/{path} is there already: ask again")
        try:
            self._upload(prepared / DATA_NAME, f"{path}/{DATA_NAME}")
            self._upload(prepared / MANIFEST_NAME, f"{path}/{MANIFEST_NAME}")
        except OSError as error:
            raise bucket_failed(self.url, error) from error

    def versions(self, path: str) -> list[int]:
        looked_at = fs.FileSelector(self._key(path), recursive=True, allow_not_found=True)
        try:
            found = self._files.get_file_info(looked_at)
        except OSError as error:
            raise bucket_failed(self.url, error) from error
        names = (PurePosixPath(each.path) for each in found)
        return _numbered(each.parent.name for each in names if each.name == MANIFEST_NAME)

    def read(self, path: str) -> bytes:
        with self.open(path) as opened:
            return opened.read()

    def open(self, path: str) -> BinaryIO:
        try:
            return cast(BinaryIO, self._files.open_input_file(self._key(path)))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise bucket_failed(self.url, error) from error

    def replace(self, path: str, content: bytes) -> None:
        try:
            with self._files.open_output_stream(self._key(path)) as stream:
                stream.write(content)
        except OSError as error:
            raise bucket_failed(self.url, error) from error

    def _upload(self, source: Path, path: str) -> None:
        """An object is there once it is closed; one that came short is taken away again."""
        key = self._key(path)
        with source.open("rb") as read, self._files.open_output_stream(key) as stream:
            while chunk := read.read(CHUNK_BYTES):
                stream.write(chunk)
        stored = self._files.get_file_info(key)
        if stored.size != source.stat().st_size:
            self._files.delete_file(key)
            raise OSError(f"{key} came as {stored.size} of {source.stat().st_size} bytes")

    def _key(self, path: str) -> str:
        return str(self._prefix / path)


def _s3_files(access: S3Access) -> fs.S3FileSystem:
    """Without a key the credentials of this machine or pod are found, as Amazon's tools do."""
    given: dict[str, Any] = {}
    if access.endpoint:
        given["endpoint_override"] = access.endpoint
        given["scheme"] = "https" if access.use_ssl else "http"
        given["force_virtual_addressing"] = access.url_style == "vhost"
    if access.key_id and access.secret:
        given["access_key"] = access.key_id
        given["secret_key"] = access.secret.get_secret_value()
    return fs.S3FileSystem(
        region=access.region,
        connect_timeout=S3_CONNECT_SECONDS,
        request_timeout=S3_REQUEST_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=S3_TRIES),
        **given,
    )


def _sweep(partial: Path) -> None:
    """What a kill left is taken away; what is young may be another's who is at it."""
    oldest_seconds = time.time() - LEFT_SECONDS
    for each in partial.iterdir():
        with contextlib.suppress(OSError):
            if each.stat().st_mtime < oldest_seconds:
                shutil.rmtree(each, ignore_errors=True)


def _numbered(names: Iterable[str]) -> list[int]:
    return sorted(int(found.group(1)) for name in names if (found := _VERSION.match(name)))


def _bring_to_disk(path: Path) -> None:
    """A renaming that survives a power cut needs what it names, and its folder, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
