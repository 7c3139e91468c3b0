"""The page as one text: styles and script inside it, no script run but its own, nothing asked but its own server."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from lossmith.report.palette import theme_css


@cache
def page_html() -> tuple[str, str]:
    """The page, and the policy that a browser holds it to.

    >>> html, policy = page_html()
    >>> "<script>" in html, "connect-src 'self'" in policy
    (True, True)
    """
    script = _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    html = _asset("page.html").replace("STYLES", theme_css() + _asset("page.css")).replace("SCRIPT", script)
    return html, policy


def _asset(name: str) -> str:
    return (files("lossmith.playground") / "assets" / name).read_text(encoding="utf-8")
