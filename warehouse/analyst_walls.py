"""What the operating system lets a process do that answers a question: read some folders, no more.

Landlock (Linux 5.13 and later) takes away every file but those named, TCP, and signals to others;
limits take away writing to files at all and more memory than allowed. Where the kernel knows no
Landlock the other two walls stand without it, and `close_off` says so.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH, _NET_PORT = 1, 2
_NO_NEW_PRIVILEGES = 38
_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3
_CONNECT = 1 << 1
_RIGHTS_BY_VERSION = {1: 13, 2: 14, 3: 15, 5: 16}
"""How many kinds of access to files each version of Landlock can take away."""
_NETWORK_VERSION, _SCOPE_VERSION = 4, 6

FILES_MOST = 4_096
"""Most files open at once."""


def landlock_version() -> int:
    """Which Landlock the kernel knows; 0 where it knows none."""
    found = int(_system().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION))
    return max(found, 0)


def close_off(
    readable: Iterable[str], memory_bytes: int, cpu_seconds: int, ports: Iterable[int] = ()
) -> bool:
    """Shut this process, and every thread it starts from now on, in; for good.

    Args:
        readable: files and folders that may be read. Nothing can be written.
        memory_bytes: address space it may take beyond what it has.
        cpu_seconds: of the processor, all threads together; then the kernel ends it.
        ports: of TCP that may be connected to.

    Returns:
        Whether the kernel's Landlock stands too.
    """
    _limit(memory_bytes, cpu_seconds)
    return _landlock(readable, ports)


def _limit(memory_bytes: int, cpu_seconds: int) -> None:
    told = Path("/proc/self/statm").read_text(encoding="ascii")
    taken = int(told.split()[0]) * resource.getpagesize()
    for what, most in (
        (resource.RLIMIT_AS, taken + memory_bytes),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, FILES_MOST),
    ):
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def _landlock(readable: Iterable[str], ports: Iterable[int]) -> bool:
    version = landlock_version()
    if version == 0:
        return False
    system = _system()
    rights = max(n for known, n in _RIGHTS_BY_VERSION.items() if known <= version)
    network = 0b11 if version >= _NETWORK_VERSION else 0
    scope = 0b11 if version >= _SCOPE_VERSION else 0
    asked = struct.pack("=QQQ", (1 << rights) - 1, network, scope)
    length = 24 if scope else 16 if network else 8
    rules = system.syscall(_CREATE_RULESET, asked, ctypes.c_size_t(length), 0)
    if rules < 0:
        return False
    try:
        for path in readable:
            _let_read(system, rules, path)
        for port in ports if network else ():
            rule = struct.pack("=QQ", _CONNECT, port)
            system.syscall(_ADD_RULE, rules, _NET_PORT, rule, 0)
        system.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        return int(system.syscall(_RESTRICT_SELF, rules, 0)) == 0
    finally:
        os.close(rules)


def _let_read(system: ctypes.CDLL, rules: int, path: str) -> None:
    """A path that is not there is not needed."""
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rights = _READ_FILE | _READ_FOLDER if Path(path).is_dir() else _READ_FILE
        system.syscall(_ADD_RULE, rules, _PATH_BENEATH, struct.pack("=Qi", rights, opened), 0)
    finally:
        os.close(opened)


def _system() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
