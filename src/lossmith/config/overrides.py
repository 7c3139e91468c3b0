"""Overrides of the command line: Hydra's grammar, with file paths it rejects taken literally."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from lossmith.errors import ConfigError

_SHAPE = re.compile(r"(?P<sign>\+\+|\+|~)?(?P<key>[A-Za-z_][^=\s]*)(?:=(?P<value>.*))?", re.DOTALL)


@dataclass(frozen=True)
class Override:
    """One override: `delete` takes the key out, else it is set to `value`."""

    text: str
    key: str
    value: Any
    delete: bool = False

    @property
    def path(self) -> list[str]:
        """The key by its dots."""
        return self.key.split(".")


def parse_override(text: str) -> Override:
    """Read `a.b=1`, `+a=1`, `++a=1`, `~a` or `group=name`.

    `+` is accepted and changes nothing: the schema alone judges whether a key exists.

    >>> parse_override("objective.sinkhorn={weight: 0.4, span: ingredients}").value
    {'weight': 0.4, 'span': 'ingredients'}
    >>> parse_override("data.files=entrées=1.jsonl").value
    'entrées=1.jsonl'
    """
    shape = _SHAPE.fullmatch(text)
    if shape is None or (shape["value"] is None and shape["sign"] != "~"):
        raise ConfigError(
            "an override could not be read",
            got=text,
            expected="key=value, or ~key to take a key out",
            fix="write for example train.learning_rate=1e-4",
        )
    key, delete = shape["key"], shape["sign"] == "~"
    return Override(text, key, None if shape["value"] is None else _value(text, shape["value"]), delete)


def _value(text: str, value: str) -> Any:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_override(f"key={value}")
        if parsed.is_sweep_override():
            raise ConfigError(
                "an override gives several values where one is expected",
                got=text,
                expected="one value, or a list in brackets",
                fix=f"write [{value}] for a list, or quote the value: \"'{value}'\"",
            )
        return _plain(parsed.value())
    except (HydraException, AttributeError) as error:
        if value[:1] in "[{'\"" or value.startswith("${"):
            # JSON quotes its keys, which Hydra's grammar does not know.
            with suppress(ValueError):
                return json.loads(value)
            raise ConfigError(
                "an override could not be read",
                got=text,
                expected="balanced brackets and quotes",
                fix='quote the whole override for the shell: "key={a: 1, b: 2}"',
            ) from error
        return value


def _plain(value: Any) -> Any:
    """Hydra's quoted strings as plain ones, inside lists and mappings too."""
    from hydra.core.override_parser.types import QuotedString

    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    return value
