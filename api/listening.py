"""The socket that the faces are served on: opened before anything else, so that it fails first."""

from __future__ import annotations

import socket


class CannotListen(Exception):
    """The address can't be had; the sentence says what to do."""


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens on an address; port 0 lets the system choose.

    Raises:
        CannotListen: somebody else listens there, or there is no such address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise CannotListen(
            f"can't listen on {host}:{port} ({error.strerror}): "
            "stop what does, or choose another with --port or PILOTHOUSE_PORT"
        ) from error
    return listener
