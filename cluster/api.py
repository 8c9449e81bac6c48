"""The wire to Kubernetes: requests by path, answers as plain dicts, errors named for the state.

The one module that imports `kubernetes`: its client brings the credentials (kubeconfig or the
pod's own), TLS and proxies. Objects stay dicts: the typed models refuse incomplete bodies, know no
custom resources, and cost ten times the memory for a list of 50,000 pods.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
import yaml  # type: ignore[import-untyped]  # what the client reads a kubeconfig with
from kubernetes import client, config

from cluster.errors import Expired, NotConfigured, Unreachable, error_of

Body = dict[str, Any]

PAGE_SIZE = 500
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
WATCH_SLACK_SECONDS = 5.0
"""beyond the time a watch was asked to last, after which its connection is taken for broken"""
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
FIELD_MANAGER = "pilothouse"
_UNREADABLE = (
    config.ConfigException,
    OSError,
    *(yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError),  # a file of another kind
)


class Api:
    """A cluster's API server. Threads may share it."""

    def __init__(self, kubernetes_client: client.ApiClient) -> None:
        self._client = kubernetes_client
        self._host: str = kubernetes_client.configuration.host.rstrip("/")

    @classmethod
    def connect(cls, kubeconfig: Path | None = None, context: str | None = None) -> Api:
        """By a kubeconfig, or by the pod's own service account where none is given.

        Nothing is asked of the server yet.

        Raises:
            NotConfigured: the kubeconfig can't be read, or this is no pod.
        """
        configuration = client.Configuration()
        try:
            if kubeconfig is not None:
                config.load_kube_config(
                    str(kubeconfig), context=context, client_configuration=configuration
                )
            else:
                config.load_incluster_config(client_configuration=configuration)
        except _UNREADABLE as error:
            where = kubeconfig or "the pod's service account"
            raise NotConfigured(f"no cluster can be reached by {where}: {error}") from error
        configuration.retries = False  # whoever asks decides whether it may be asked again
        return cls(client.ApiClient(configuration))

    @property
    def host(self) -> str:
        """The API server's address."""
        return self._host

    def close(self) -> None:
        """Close the connections."""
        self._client.rest_client.close()

    # -- reading -------------------------------------------------------------------

    def get(self, path: str, **query: Any) -> Body:
        """One object, or whatever the path answers.

        Raises:
            ClusterError: see `cluster/errors.py`; so do all the others.
        """
        return self._ask("GET", path, query)

    def pages(self, path: str, page_size: int = PAGE_SIZE, **query: Any) -> Iterator[Body]:
        """A list page by page; each page's `metadata.resourceVersion` is that of the first.

        Raises:
            Expired: the list changed for too long while it was read: begin again.
        """
        going_on: str | None = None
        while True:
            asked = {**query, "limit": page_size, **({"continue": going_on} if going_on else {})}
            page = self._ask("GET", path, asked)
            yield page
            going_on = (page.get("metadata") or {}).get("continue")
            if not going_on:
                return

    def watch(
        self, path: str, resource_version: str, seconds: float, **query: Any
    ) -> Iterator[tuple[str, Body]]:
        """What changed since a version, as (type, object), bookmarks included, for `seconds`.

        Raises:
            Expired: the version is compacted away: list again.
            Unreachable: the stream was cut: watch on from the last version that was read.
        """
        asked = {
            **query,
            "watch": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": max(int(seconds), 1),
            "allowWatchBookmarks": "true",
        }
        response = self._send("GET", path, asked, None, None, seconds + WATCH_SLACK_SECONDS)
        try:
            for line in _lines(response, path):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise error_of(int(event["object"].get("code", 0)), event["object"], path)
                yield event["type"], event["object"]
        finally:
            response.close()

    # -- writing -------------------------------------------------------------------

    def create(self, path: str, body: Mapping[str, Any], **query: Any) -> Body:
        """Make an object, or send one to a subresource (`…/eviction`, `…/binding`)."""
        return self._ask("POST", path, query, body)

    def replace(self, path: str, body: Mapping[str, Any], **query: Any) -> Body:
        """Put an object in place of what is there; with its `resourceVersion`, only of that."""
        return self._ask("PUT", path, query, body)

    def patch(self, path: str, body: Any, content_type: str = MERGE, **query: Any) -> Body:
        """Change an object; a `metadata.resourceVersion` in the body is a precondition."""
        return self._ask(
            "PATCH", path, {"fieldManager": FIELD_MANAGER, **query}, body, content_type
        )

    def delete(self, path: str, body: Mapping[str, Any] | None = None, **query: Any) -> Body:
        """Delete an object; `body` is a DeleteOptions with preconditions."""
        return self._ask("DELETE", path, query, body)

    # -- how -----------------------------------------------------------------------

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        body: Any = None,
        content_type: str = "application/json",
    ) -> Body:
        response = self._send(method, path, query, body, content_type, ANSWER_SECONDS)
        try:
            data = response.read(decode_content=True)
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(f"{method} {path}: the answer broke off: {error}") from error
        finally:
            response.release_conn()
        read: Body = _decoded(data)
        return read

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        body: Any,
        content_type: str | None,
        seconds: float,
    ) -> urllib3.BaseHTTPResponse:
        """The open answer, its status looked at."""
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = content_type or "application/json"
        self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url = f"{self._host}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            response = self._client.rest_client.pool_manager.request(
                method,
                url,
                body=None if body is None else json.dumps(body),
                headers=headers,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=seconds),
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(f"{self._host} does not answer {method} {path}: {error}") from error
        if response.status >= 300:
            self._refuse(response, f"{method} {path}")
        return response

    def _refuse(self, response: urllib3.BaseHTTPResponse, asked: str) -> None:
        try:
            said = _decoded(response.read(decode_content=True))
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(f"{asked}: the answer broke off: {error}") from error
        finally:
            response.release_conn()
        raise error_of(response.status, said, asked, _seconds(response.headers.get("Retry-After")))


def _lines(response: urllib3.BaseHTTPResponse, path: str) -> Iterator[bytes]:
    """The events of a watch, each on a line of its own."""
    rest = b""
    try:
        for chunk in response.stream(65_536, decode_content=True):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (line for line in whole if line.strip())
    except urllib3.exceptions.HTTPError as error:
        raise Unreachable(f"the watch on {path} was cut: {error}") from error
    if rest.strip():
        yield rest


def _decoded(data: bytes) -> Any:
    try:
        return json.loads(data) if data else {}
    except ValueError:
        return data.decode(errors="replace")


def _seconds(retry_after: str | None) -> float | None:
    try:
        return float(retry_after) if retry_after else None
    except ValueError:
        return None


__all__ = ["JSON_PATCH", "MERGE", "STRATEGIC", "Api", "Body", "Expired"]
