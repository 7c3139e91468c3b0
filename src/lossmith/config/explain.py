"""Validation errors in words: the path, what was got, what was expected, the nearest name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from lossmith.config.importer.rows import BY_KEY
from lossmith.config.schema import Config
from lossmith.errors import ConfigError, nearest

# What the importer's table has not, because a recipe cannot say it in one value.
_OBJECTIVE = ("loss", "losses")


def explain(error: ValidationError, values: Mapping[str, Any]) -> ConfigError:
    """One ConfigError for all that pydantic found."""
    found: dict[str, ConfigError] = {}
    for item in error.errors():
        path = _path(item["loc"], values)
        # A union reports once for each member; the first says enough, with the members named.
        if path not in found:
            found[path] = _one(item, path, values)
    # A member of a union that does not fit reports the whole value beside the key that is really wrong.
    errors = [e for path, e in found.items() if not any(other.startswith(f"{path}.") for other in found)]
    if len(errors) == 1:
        return errors[0]
    lines = "\n".join(
        f"- {e.message}" + (f", got {e.got}" if e.fix is None else "") + (f": {e.fix}" if e.fix else "") for e in errors
    )
    return ConfigError(f"{len(errors)} keys of the configuration are wrong\n{lines}")


def _path(location: tuple[int | str, ...], values: Any) -> str:
    """The dotted path without the union members that pydantic puts into a location."""
    parts: list[str] = []
    here = values
    for part in location:
        if isinstance(here, Mapping) and part in here:
            here = here[str(part)]
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            here = here[part]
        else:
            continue
        parts.append(str(part))
    return ".".join(parts)


def _one(item: Any, path: str, values: Mapping[str, Any]) -> ConfigError:
    got = _at(values, path)
    if item["type"] == "extra_forbidden":
        return unknown_key(path)
    message = str(item["msg"]).removeprefix("Value error, ")
    where = path or "the configuration"
    if item["type"] == "value_error":
        return ConfigError(f"{where}: {message}")
    expected = message.removeprefix("Input should be ")
    about = _description(path)
    return ConfigError(
        f"{where} is wrong",
        got=repr(got),
        expected=f"{expected} ({about})" if about else expected,
        fix=f'write "{got}", with the quotes'
        if item["type"] == "string_type" and isinstance(got, int | float)
        else None,
    )


def unknown_key(path: str) -> ConfigError:
    """The error for a key the schema does not have."""
    *parents, key = path.split(".")
    known = list(_keys_at(parents))
    near = nearest(key, known)
    prefix = "".join(f"{p}." for p in parents)
    elsewhere = [p for p in all_paths() if p.split(".")[-1] == key]
    if near:
        fix: str | None = f"did you mean '{prefix}{near}'?"
    elif told := _known_elsewhere(key):
        fix = told
    elif elsewhere:
        fix = f"did you mean '{elsewhere[0]}'?"
    else:
        near = nearest(path, all_paths())
        fix = f"did you mean '{near}'?" if near else None
    if parents[:1] == ["train"] and fix is None:
        fix = "another key of transformers' TrainingArguments goes under train.hf"
    return ConfigError(f"unknown key '{path}'", got=key, expected=", ".join(known), fix=fix)


def _known_elsewhere(key: str) -> str | None:
    """What a key of another tool is called here, or why it is nothing here."""
    row = BY_KEY.get(key)
    if row is None:
        return "here it is objective" if key in _OBJECTIVE else None
    return f"here it is {row.path}" + (f" ({row.note})" if row.note else "") if row.path else row.note


def _at(values: Any, path: str) -> Any:
    for part in path.split(".") if path else []:
        values = values[int(part)] if isinstance(values, list) else values[part]
    return values


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for member in getattr(annotation, "__args__", ()):
        yield from _models(member)


def _model_at(parents: list[str]) -> type[BaseModel] | None:
    model: type[BaseModel] | None = Config
    for part in parents:
        known = model.model_fields.get(part) if model else None
        model = next(_models(known.annotation), None) if known else None
    return model


def _keys_at(parents: list[str]) -> Iterator[str]:
    model = _model_at(parents)
    if model is not None:
        yield from model.model_fields


def _description(path: str) -> str | None:
    *parents, key = path.split(".")
    model = _model_at(parents)
    known = model.model_fields.get(key) if model else None
    return known.description if known else None


def all_paths(model: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """Every dotted path of the schema."""
    paths: list[str] = []
    for key, known in model.model_fields.items():
        inner = next(_models(known.annotation), None)
        if inner is not None and inner is not model:
            paths += all_paths(inner, f"{prefix}{key}.")
        paths.append(f"{prefix}{key}")
    return paths
