"""`@compiled`: numba's njit, cached on disk under a digest of all compiled sources.

Numba stamps a cached function with the time of its own file alone, so that an edit in one module
leaves stale machine code in another that calls it. Here the stamp is a digest of every source
that counts: any edit recompiles, and neither a fresh checkout nor a copied image does.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

_READ_BY_COMPILED = ("layout.py", "metrics.py", "features.py")
"""Modules whose constants are frozen into machine code."""

Function = TypeVar("Function", bound=Callable[..., Any])


def _sources_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        source = path.read_bytes()
        if b"@compiled" in source or path.name in _READ_BY_COMPILED:
            digest.update(source)
    return digest.hexdigest()


_DIGEST = _sources_digest()


def compiled(function: Function) -> Function:
    """`function` in machine code, compiled at its first call, without the interpreter's lock.

    Nor does it count references: it may not make arrays, and is nearly three times as fast, since a
    state is a tuple of eleven arrays whose counts each call would raise and lower.
    """
    dispatcher = numba.njit(cache=True, nogil=True, _nrt=False)(function)
    # The index of the cache is valid while this stamp is equal; numba offers no public way to set
    # it, and where a later version hides it the plain time stamp stays in force.
    cache_file: Any = getattr(dispatcher._cache, "_cache_file", None)
    if hasattr(cache_file, "_source_stamp"):
        cache_file._source_stamp = _DIGEST
    return cast(Function, dispatcher)
