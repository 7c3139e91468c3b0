"""From a recipe of another tool to a checked configuration, with what became of every key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lossmith.config.compose import compose, preset_names, read_values
from lossmith.config.explain import all_paths
from lossmith.config.importer.rows import BY_KEY, Row
from lossmith.config.importer.sections import SECTIONS
from lossmith.config.importer.together import Entry, Implied, settle
from lossmith.config.importer.values import CONVERSIONS, LeftOut, Several
from lossmith.config.layers import leaves
from lossmith.config.load import check
from lossmith.config.schema import Config
from lossmith.errors import ConfigError, nearest, unknown_name

NOT_GIVEN = "null: not given"

# Values that a recipe leaves to its own tools, where lossmith's are others: path, theirs, whose.
OTHER_DEFAULTS: tuple[tuple[str, Any, str], ...] = (
    ("train.learning_rate", 5e-5, "transformers"),
    ("train.eval_strategy", "no", "transformers"),
    ("train.save_strategy", "steps", "transformers"),
    ("train.save_total_limit", None, "transformers"),
    ("train.load_best_model_at_end", False, "transformers"),
    ("seed", 42, "transformers"),
    ("model.lora_r", 8, "peft"),
    ("model.lora_alpha", 8, "peft"),
    ("model.lora_dropout", 0.0, "peft"),
    ("model.bnb_4bit_quant_type", "fp4", "transformers"),
    ("model.bnb_4bit_use_double_quant", False, "transformers"),
)


@dataclass(frozen=True)
class Translation:
    """What a recipe says here: its keys one by one, the values they set, and the checked configuration.

    `defaults` are values that the recipe leaves open and that its own tools would choose otherwise.
    """

    source: Path
    preset: str
    entries: tuple[Entry, ...]
    implied: tuple[Implied, ...]
    values: dict[str, Any]
    config: Config
    defaults: tuple[tuple[str, Any, str], ...]

    @property
    def unknown(self) -> tuple[Entry, ...]:
        """Keys that no row of the table has."""
        return tuple(entry for entry in self.entries if not entry.known)


def translate(source: str | Path, *, preset: str | None = None, keep_unknown: bool = False) -> Translation:
    """Read a recipe and say it as a configuration on `preset` (not given: the bare preset of its task).

    Raises ConfigError for a file that cannot be read, a value of the wrong kind, keys that contradict each other,
    keys that nobody knows (unless `keep_unknown`), and a result that is no configuration.
    """
    path = Path(source).expanduser()
    if not path.is_file():
        raise ConfigError(f"'{source}' is no file", got=source, expected="a JSON or YAML file of another tool")
    if preset is not None and preset not in preset_names():
        raise unknown_name("preset", preset, preset_names())
    entries = [_entry(key, names, value) for key, names, value in _keys(read_values(path))]
    unknown = [entry for entry in entries if not entry.known]
    if unknown and not keep_unknown:
        raise _unknown(unknown)
    implied = settle(entries)
    values = _values(entries, implied)
    kind = values.get("task", {}).get("kind", "causal")
    preset = preset or (kind if kind in preset_names() else "causal")
    config = _checked(path, {"defaults": [preset], **values}, entries)
    return Translation(path, preset, tuple(entries), tuple(implied), values, config, _defaults(values, config))


def _keys(values: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    """The keys of a file with the names each is looked up by; of a section, those of its keys."""
    for key, value in values.items():
        name = _folded(key)
        if isinstance(value, list) and value and all(isinstance(item, Mapping) and "path" in item for item in value):
            # Axolotl's data sets: a list of paths, each with more to say.
            yield key, (name,), [item["path"] for item in value]
            for number, item in enumerate(value):
                yield from _section(f"{key}.{number}", "data", {k: v for k, v in item.items() if k != "path"})
        elif isinstance(value, Mapping) and name not in own_paths() and (name in SECTIONS or name not in BY_KEY):
            yield from _section(key, name, value)
        else:
            yield key, (name,), value


def _section(key: str, name: str, values: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...], Any]]:
    group, prefixes = SECTIONS.get(name, (name, (f"{name}_",)))
    for inner, item in values.items():
        names = tuple(f"{prefix}{_folded(inner)}" for prefix in prefixes)
        yield f"{key}.{inner}", (*names, f"{group}.{_folded(inner)}"), item


def _folded(key: Any) -> str:
    return str(key).strip().lstrip("-").replace("-", "_").lower()


@cache
def own_paths() -> frozenset[str]:
    """Paths of lossmith's own keys; of the first level those that are no groups."""
    paths = all_paths()
    return frozenset(paths) - {path.split(".")[0] for path in paths if "." in path}


def _entry(key: str, names: Sequence[str], value: Any) -> Entry:
    """One key read by its row; without one, a path of lossmith's own stays as it is."""
    row = next((BY_KEY[name] for name in names if name in BY_KEY), None)
    own = next((name for name in names if name in own_paths()), None)
    if own is not None and isinstance(value, Mapping):
        # No tool but lossmith has a group under such a name.
        row = None
    if row is None and own is None:
        return Entry(key, value, names[0], known=False)
    entry = Entry(key, value, row.keys[0] if row else str(own))
    if value is None:
        entry.leave_out(NOT_GIVEN)
    elif row is None:
        entry.targets = {str(own): value}
    elif row.path is None:
        entry.leave_out(row.note)
    else:
        _read(entry, row)
    return entry


def _read(entry: Entry, row: Row) -> None:
    assert row.path is not None
    try:
        found = CONVERSIONS[row.conversion](entry.value)
    except ConfigError as error:
        raise ConfigError(f"{entry.key}: {error.message}", got=error.got, expected=error.expected) from None
    if isinstance(found, LeftOut):
        entry.leave_out(found.why)
    else:
        entry.targets = dict(found.values) if isinstance(found, Several) else {row.path: found}


def _unknown(entries: Sequence[Entry]) -> ConfigError:
    lines = []
    for entry in entries:
        near = nearest(_folded(entry.key.split(".")[-1]), BY_KEY)
        lines.append(f"- {entry.key} = {shown(entry)}" + (f" (did you mean '{near}'?)" if near else ""))
    return ConfigError(
        f"{len(entries)} keys are not known\n" + "\n".join(lines),
        expected="keys of docs/import.md",
        fix="--keep-unknown writes them as comments",
    )


def _values(entries: Sequence[Entry], implied: Sequence[Implied]) -> dict[str, Any]:
    """The nested mapping of all that is set.

    Raises ConfigError naming every key that contradicts another.
    """
    set_by: dict[str, list[tuple[str, Any]]] = {}
    for entry in entries:
        for path, value in entry.targets.items():
            set_by.setdefault(path, []).append((entry.key, value))
    for one in implied:
        set_by.setdefault(one.path, [("", one.value)])
    lines = []
    for path, given in set_by.items():
        inside = [pair for other, pairs in set_by.items() if other.startswith(f"{path}.") for pair in pairs]
        if any(value != given[0][1] for _, value in given) or inside:
            told = " and ".join(f"{key} = {value!r}" for key, value in (*given, *inside))
            lines.append(f"- {path}: {told}")
    if lines:
        raise ConfigError("keys contradict each other\n" + "\n".join(lines), fix="keep one of each")
    order = list(Config.model_fields)
    values: dict[str, Any] = {}
    for path, given in sorted(set_by.items(), key=lambda item: order.index(item[0].split(".")[0])):
        *parents, last = path.split(".")
        here = values
        for parent in parents:
            here = here.setdefault(parent, {})
        here[last] = given[0][1]
    return values


def _checked(source: Path, values: Mapping[str, Any], entries: Sequence[Entry]) -> Config:
    try:
        return check(compose(values))
    except ConfigError as error:
        from_keys = {path: entry.key for entry in entries for path in entry.targets}
        told = [f"{path} comes from {key}" for path, key in from_keys.items() if path in str(error)]
        raise ConfigError(
            f"{source} says what is no configuration: {error.message}" + "".join(f"\n  {line}" for line in told),
            got=error.got,
            expected=error.expected,
            fix=error.fix,
        ) from None


def _defaults(values: Mapping[str, Any], config: Config) -> tuple[tuple[str, Any, str], ...]:
    """Of OTHER_DEFAULTS those that the recipe leaves open and that matter to its model."""
    given = dict(leaves(values))
    ours = dict(leaves(config.model_dump()))
    matters = {"model.lora": config.model.resolved_adapter == "lora", "model.bnb_4bit": config.model.load_in_4bit}
    return tuple(
        (path, theirs, whose)
        for path, theirs, whose in OTHER_DEFAULTS
        if path not in given
        and path in ours
        and ours[path] != theirs
        and all(needed for start, needed in matters.items() if path.startswith(start))
    )


_SECRET = re.compile(r"(^|[_.])(token|api_key|apikey|secret|password|access_key)$")


def shown(entry: Entry) -> str:
    """The value of a key in a line of text; a secret is not repeated."""
    if _SECRET.search(_folded(entry.key)) and entry.value is not None:
        return "(hidden)"
    return json.dumps(entry.value, ensure_ascii=False, default=str)
