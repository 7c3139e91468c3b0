"""A translation as a commented YAML file, as a listing, and as plain data; and the table of keys as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lossmith.config.importer.rows import ROWS
from lossmith.config.importer.translate import Translation, shown

TABLE_HEAD = ("| key | here | read as | remark |", "|---|---|---|---|")


def as_commented_yaml(translation: Translation) -> str:
    """The configuration with the key that each value came from; what set nothing stands below as comments."""
    origin = _origins(translation)
    lines = [
        f"# Translated from {translation.source.name} by lossmith config import; each value names its key there.",
        f"defaults: [{translation.preset}]",
        *_lines(translation.values, origin),
    ]
    for title, rows in (
        ("Left out on purpose:", [f"{key}: {value}  ({why})" for key, value, why in _left_out(translation)]),
        ("Not known, kept as they are:", [f"{entry.key}: {shown(entry)}" for entry in translation.unknown]),
        ("Not given there, and another default here:", list(_other_defaults(translation))),
    ):
        if rows:
            lines += ["", f"# {title}", *(f"#   {row}" for row in rows)]
    return "\n".join(lines) + "\n"


def listing(translation: Translation) -> str:
    """What became of every key, one line each."""
    lines = []
    for entry in translation.entries:
        if entry.targets:
            told = ", ".join(f"{path} = {_flow(value)}" for path, value in entry.targets.items())
            lines.append(f"translated  {entry.key} -> {told}" + (f"  ({entry.note})" if entry.note else ""))
    lines += [f"implied     {one.path} = {_flow(one.value)}  ({one.why})" for one in translation.implied]
    lines += [f"left out    {key} = {value}  ({why})" for key, value, why in _left_out(translation)]
    lines += [f"unknown     {entry.key} = {shown(entry)}  (kept as a comment)" for entry in translation.unknown]
    lines += [f"default     {line}" for line in _other_defaults(translation)]
    return "\n".join(lines)


def as_json(translation: Translation) -> dict[str, Any]:
    """The listing as plain data."""
    entries = translation.entries
    return {
        "source": str(translation.source),
        "preset": translation.preset,
        "translated": [
            {"key": entry.key, "value": entry.value, "to": entry.targets, "note": entry.note}
            for entry in entries
            if entry.targets
        ],
        "implied": [{"path": one.path, "value": one.value, "why": one.why} for one in translation.implied],
        "left_out": [{"key": key, "value": value, "why": why} for key, value, why in _left_out(translation)],
        "unknown": [{"key": entry.key, "value": shown(entry)} for entry in translation.unknown],
        "other_defaults": [
            {"path": path, "theirs": theirs, "whose": whose} for path, theirs, whose in translation.defaults
        ],
        "config": translation.values,
    }


def table_markdown() -> str:
    """The table of keys as docs/import.md shows it."""
    rows = []
    for row in ROWS:
        keys = " ".join(f"`{key}`" for key in row.keys)
        here = f"`{row.path}`" if row.path else "left out"
        rows.append(f"| {keys} | {here} | {row.conversion if row.path else ''} | {row.note} |")
    return "\n".join((*TABLE_HEAD, *rows)) + "\n"


def _left_out(translation: Translation) -> Iterator[tuple[str, str, str]]:
    for entry in translation.entries:
        if entry.known and not entry.targets:
            yield entry.key, shown(entry), entry.note


def _other_defaults(translation: Translation) -> Iterator[str]:
    ours = translation.config.model_dump()
    for path, theirs, whose in translation.defaults:
        value: Any = ours
        for part in path.split("."):
            value = value[part]
        yield f"{path}: {_flow(value)} here, {_flow(theirs)} in {whose}"


def _origins(translation: Translation) -> dict[str, str]:
    """Path to the words of its comment."""
    found: dict[str, list[str]] = {}
    for entry in translation.entries:
        for path in entry.targets:
            found.setdefault(path, []).append(entry.key + (f": {entry.note}" if entry.note else ""))
    for one in translation.implied:
        found.setdefault(one.path, []).append(one.why)
    return {path: "; ".join(words) for path, words in found.items()}


def _lines(values: Mapping[str, Any], origin: Mapping[str, str], prefix: str = "", indent: str = "") -> Iterator[str]:
    for key, value in values.items():
        path = f"{prefix}{key}"
        if path in origin or not isinstance(value, Mapping):
            yield f"{indent}{key}: {_flow(value)}  # {origin[path]}"
        else:
            yield f"{indent}{key}:"
            yield from _lines(value, origin, f"{path}.", indent + "  ")


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    import yaml

    return yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, width=10**9).strip()[1:-1]
