"""The card of a data file: how many records, which columns, and its fingerprint; no record is shown."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from lossmith.config.data import DataConfig
from lossmith.data.sources.files import Source
from lossmith.data.sources.formats import read_rows
from lossmith.errors import DataError
from lossmith.release.card.markdown import code, section, table, without_places
from lossmith.release.outgoing import Outgoing


def data_card(path: Path, data: Outgoing, *, repo: str, license_name: str | None = None) -> str:
    """Count the records of a file, once through; raises DataError where none can be read."""
    records, damaged = 0, 0
    filled: Counter[str] = Counter()
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for row in read_rows(Source(path.name, (path,)), DataConfig()):
        if row.values is None:
            damaged += 1
            continue
        records += 1
        for name, value in row.values.items():
            filled[name] += value not in (None, "")
            kinds[name][_kind(value)] += 1
    if not records:
        raise DataError(f"{path} holds no record", got=f"{damaged} lines that cannot be read", expected="records")
    columns = [
        {"column": f"`{name}`", "values": " or ".join(sorted(found)), "filled": filled[name]}
        for name, found in kinds.items()
    ]
    told = f"{records:,} records" + (f"; {damaged:,} lines could not be read as records" if damaged else "")
    facts = [{"file": f"`{data.path}`", "bytes": data.size, "sha256": f"`{data.sha256}`"}]
    title = repo.rpartition("/")[2]
    parts = [
        _front_matter(title, data, records=records, license_name=license_name),
        f"# {title}",
        f"{told}.",
        section("Columns", table(columns)),
        section("File", table(facts)),
        section("How to use", code(f"lossmith prepare CONFIG data.files={path.name}", "console")),
    ]
    return without_places("\n\n".join(part for part in parts if part)) + "\n"


def _kind(value: Any) -> str:
    """What a value is, in words.

    >>> [_kind(value) for value in (None, True, 3, 0.5, "a", [1], {"a": 1})]
    ['nothing', 'true or false', 'number', 'number', 'text', 'list', 'object']
    """
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    return "list" if isinstance(value, list | tuple) else "object"


def _front_matter(title: str, data: Outgoing, *, records: int, license_name: str | None) -> str:
    from huggingface_hub import DatasetCardData

    size = next(name for name, most in _SIZES if records < most)
    card = DatasetCardData(
        pretty_name=title,
        license=license_name,
        size_categories=size,
        configs=[{"config_name": "default", "data_files": data.path}],
        tags=["lossmith"],
    )
    return f"---\n{card.to_yaml()}\n---"


# The hub's names for sizes, and the number of records from which the next one holds.
_SIZES = (
    ("n<1K", 1_000),
    ("1K<n<10K", 10_000),
    ("10K<n<100K", 100_000),
    ("100K<n<1M", 1_000_000),
    ("1M<n<10M", 10_000_000),
    ("10M<n<100M", 100_000_000),
    ("100M<n<1B", 1_000_000_000),
    ("1B<n<10B", float("inf")),
)
