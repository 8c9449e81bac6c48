"""The headers that every answer carries, so that a browser helps to keep the console safe."""

from __future__ import annotations

from api.settings import ApiSettings

# Frames are refused twice: old browsers know only the second header. The referrer is kept
# within the console: with none at all, browsers would send `Origin: null` with our own forms.
FIXED: dict[str, str] = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}

HTTPS_ONLY = {"strict-transport-security": "max-age=31536000"}

# Dash's components set styles on elements, and Plotly draws images from blobs.
_POLICY = (
    "default-src 'self'",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "font-src 'self' data:",
    "worker-src 'self' blob:",
    "connect-src 'self'",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
)


# The embedded page has no script, and loads its style alone.
_EMBEDDED_POLICY = (
    "default-src 'none'",
    "style-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'self'",
)


def embedded_headers(settings: ApiSettings, is_secure: bool) -> dict[str, str]:
    """The headers of the page made for frames: the pages of these origins may hold it, no other."""
    origins = settings.embed_origins
    ancestors = " ".join(("frame-ancestors", *(origins or ("'none'",))))
    found = {**FIXED, "content-security-policy": "; ".join((*_EMBEDDED_POLICY, ancestors))}
    if origins:
        del found["x-frame-options"]  # it knows no list, and would refuse them all
        found["cross-origin-resource-policy"] = "cross-origin"
    return {**found, **HTTPS_ONLY} if is_secure else found


def security_headers(settings: ApiSettings, is_secure: bool) -> dict[str, str]:
    """The headers of an answer; `is_secure` where the browser came by https."""
    scripts = settings.script_hashes() if settings.script_hashes else ("'unsafe-inline'",)
    policy = (*_POLICY, " ".join(("script-src 'self'", *scripts)))
    found = {**FIXED, "content-security-policy": "; ".join(policy)}
    return {**found, **HTTPS_ONLY} if is_secure else found
