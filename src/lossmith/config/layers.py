"""Merging of configuration layers as plain data, remembering where each value came from."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lossmith.config.overrides import Override

# Given whole, these replace what lower layers said: a file that writes its own objective means that one.
REPLACED_WHOLE = (
    ("objective",),
    ("data", "fields"),
    ("data", "template"),
    ("data", "answer_schema"),
    ("data", "files"),
    ("data", "pairs"),
    ("evaluate", "threshold"),
    ("ablate", "objectives"),
    ("ablate", "models"),
    ("tune", "space"),
)


@dataclass
class Layered:
    """A configuration under construction: `values`, and per dotted path the layer that set it."""

    values: dict[str, Any] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)

    def merge(self, layer: Mapping[str, Any], name: str) -> None:
        """Lay a mapping over the values; nested mappings merge, all else replaces."""
        for key, value in layer.items():
            self.set([str(key)], value, name)

    def set(self, path: list[str], value: Any, name: str) -> None:
        """Set one value; a mapping merges unless its path is replaced whole."""
        parent = self.values
        for index, key in enumerate(path[:-1]):
            if not isinstance(parent.get(key), dict):
                # A number on a term becomes a mapping when one of its keys is set.
                old = parent.get(key)
                parent[key] = {"weight": old} if _is_term(path[: index + 1]) and _is_weight(old) else {}
            parent = parent[key]
        old = parent.get(path[-1])
        if isinstance(value, Mapping) and tuple(path) in REPLACED_WHOLE:
            self._forget(path)
            parent[path[-1]] = {}
            for key, item in value.items():
                self.set([*path, str(key)], item, name)
            if not value:
                self.origin[".".join(path)] = name
        elif isinstance(value, Mapping) and isinstance(old, dict | None) and value:
            parent.setdefault(path[-1], {})
            if parent[path[-1]] is None:
                parent[path[-1]] = {}
            for key, item in value.items():
                self.set([*path, str(key)], item, name)
        elif _is_term(path) and isinstance(old, dict) and _is_weight(value):
            self.set([*path, "weight"], value, name)
        else:
            self._forget(path)
            parent[path[-1]] = copy.deepcopy(value)
            self.origin[".".join(path)] = name

    def delete(self, path: list[str]) -> bool:
        """Take a key out; False where there was none."""
        parent: Any = self.values
        for key in path[:-1]:
            parent = parent.get(key) if isinstance(parent, dict) else None
        if not isinstance(parent, dict) or path[-1] not in parent:
            return False
        del parent[path[-1]]
        self._forget(path)
        return True

    def apply(self, override: Override) -> bool:
        """Carry out an override; False where it deletes a key that is not there."""
        if override.delete:
            return self.delete(override.path)
        self.set(override.path, override.value, f"override {override.text}")
        return True

    def _forget(self, path: list[str]) -> None:
        dotted = ".".join(path)
        for known in [k for k in self.origin if k == dotted or k.startswith(dotted + ".")]:
            del self.origin[known]


def _is_term(path: list[str]) -> bool:
    """Whether a path is that of a term: objective.NAME, or objective.by_task.TASK.NAME."""
    return path[0] == "objective" and len(path) == (4 if path[1:2] == ["by_task"] else 2)


def _is_weight(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of every leaf; an empty mapping is a leaf."""
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{path}.")
        else:
            yield path, value
