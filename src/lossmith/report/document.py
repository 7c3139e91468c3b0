"""Templates to one HTML text: styles and scripts inside it, nothing fetched, no script run but its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from lossmith.report.palette import theme_css
from lossmith.report.safe_text import finalize, marked, with_blanks

_PACKAGE = "lossmith.report"


def render(template: str, content: Mapping[str, Any]) -> str:
    """Fill a template of this room; text is escaped, unseen characters are written out.

    The page's policy lets the one inline script run by its hash alone, so that text that slipped through as markup
    still could not act.
    """
    environment = _environment()
    # Data blocks of type application/json are not scripts to a browser and need no hash.
    script = Markup(_source("page.js"))  # the package's own file  # nosec B704
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    text = environment.get_template(template).render(
        content,
        styles=Markup(theme_css() + _source("page.css")),  # the package's own file  # nosec B704
        script=script,
        policy=policy,
    )
    # Lone surrogates, from file names that are no UTF-8, have no place in a file.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@cache
def _environment() -> jinja2.Environment:
    # Kept, because reading the templates takes longer than filling them, and a study writes a page for each run.
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(_PACKAGE),
        autoescape=True,
        finalize=finalize,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["marked"] = marked
    environment.filters["marked_blanks"] = with_blanks
    return environment


def _source(name: str) -> str:
    loader = jinja2.PackageLoader(_PACKAGE)
    return loader.get_source(jinja2.Environment(autoescape=True, loader=loader), name)[0]
