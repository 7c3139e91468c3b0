"""Installed versions against the ranges that are tested."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from lossmith.doctor.health.finding import Finding

_AREA = "versions"
# What each extra is for; those of development are of no use to a run.
EXTRAS = {
    "embed": "sentence encoders",
    "structured": "constrained decoding",
    "tune": "`lossmith tune`",
    "quant": "4-bit bases",
    "track": "trackers beside tensorboard",
    "slurm": "jobs on a cluster",
    "gguf": "GGUF files",
}


def version_findings() -> Iterator[Finding]:
    """Python, every library that is needed, and of each extra what is there."""
    wanted = SpecifierSet(str(metadata("lossmith")["Requires-Python"]))
    running = platform.python_version()
    fits = wanted.contains(running, prereleases=True)
    yield Finding(
        _AREA,
        "python",
        "ok" if fits else "error",
        f"{running} ({sys.executable})",
        fix=None if fits else f"run lossmith with Python {wanted}",
    )
    needed = [Requirement(line) for line in requires("lossmith") or []]
    for requirement in needed:
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _finding(requirement, installed(requirement.name))
    for extra, purpose in EXTRAS.items():
        own = [one for one in needed if one.marker is not None and one.marker.evaluate({"extra": extra})]
        own = [one for one in own if not one.marker.evaluate({"extra": ""})]  # type: ignore[union-attr]
        yield from _extra(extra, purpose, own)


def installed(name: str) -> str | None:
    """The version of a library that is installed, None where it is not."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _finding(requirement: Requirement, found: str | None, *, extra: str | None = None) -> Finding:
    # From the lowest to the highest, as a reader expects them; a set of specifiers has no order.
    asked = ",".join(sorted(map(str, requirement.specifier), key=lambda one: one.startswith("<")))
    wanted, facts = asked or "any version", {"version": found, "tested": asked}
    target = f"'lossmith[{extra}]'" if extra else f"'{requirement.name}{asked}'"
    if found is None:
        fix = f"pip install {target}"
        return Finding(_AREA, requirement.name, "error", f"is not installed; {wanted} is needed", fix, facts)
    if not requirement.specifier.contains(found, prereleases=True):
        fix = f"pip install {target}"
        return Finding(_AREA, requirement.name, "warning", f"{found}; tested: {wanted}", fix, facts)
    return Finding(_AREA, requirement.name, "ok", f"{found} (tested: {wanted})", facts=facts)


def _extra(extra: str, purpose: str, requirements: list[Requirement]) -> Iterator[Finding]:
    found = {one.name: installed(one.name) for one in requirements}
    absent = [name for name, known in found.items() if known is None]
    yield from (_finding(one, found[one.name], extra=extra) for one in requirements if found[one.name] is not None)
    if absent:
        said = f"the extra '{extra}' ({purpose}) is not installed: {', '.join(absent)}"
        yield Finding(_AREA, extra, "ok", said, f"where it is wanted: pip install 'lossmith[{extra}]'")
