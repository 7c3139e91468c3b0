"""From a preset name or file and overrides to a checked configuration.

Preset and group files come from the package alone, by Hydra; the user's file is laid over them, then the overrides.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from lossmith.config.generation_presets import GROUP as GENERATION
from lossmith.config.layers import Layered, leaves
from lossmith.config.overrides import Override, parse_override
from lossmith.errors import ConfigError, nearest, unknown_name

GROUPS = ("model", GENERATION)
DEFAULT = "default"
# Keys of `data` whose `${` is their own.
_TEXTS = ("template", "answer_schema")


@dataclass(frozen=True)
class Composed:
    """A configuration as plain data: `values` of all layers, `origin` by dotted path, the overrides used."""

    values: dict[str, Any]
    origin: dict[str, str]
    source: str


def _names(folder: Traversable, prefix: str = "") -> Iterable[str]:
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.is_dir():
            yield from _names(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".yaml") and not entry.name.startswith("_"):
            yield f"{prefix}{entry.name.removesuffix('.yaml')}"


def preset_names() -> list[str]:
    """Names of the shipped presets."""
    return list(_names(files("lossmith.config") / "presets" / "preset"))


def group_names(group: str) -> list[str]:
    """Names of the files of a group."""
    return list(_names(files("lossmith.config") / "presets" / group))


def preset_text(name: str) -> str:
    """The file of a preset, comments and all."""
    return (files("lossmith.config") / "presets" / "preset" / f"{name}.yaml").read_text(encoding="utf-8")


def compose(config: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> Composed:
    """Lay preset, group files, the user's file and the overrides over each other.

    Raises ConfigError for an unknown preset or group file, an unreadable file or override.
    """
    given = [parse_override(text) for text in overrides]
    choices = {o.key: o for o in given if o.key in GROUPS and isinstance(o.value, str) and not o.delete}
    if isinstance(config, Mapping):
        preset, layer, source = None, dict(config), "given mapping"
    elif str(config) in preset_names():
        preset, layer, source = str(config), {}, f"preset {config}"
    else:
        layer, source = _read_file(config), str(config)
        preset = None
    groups: dict[str, str] = {}
    preset = _take_defaults(layer, groups, source) or preset or _bare_preset(layer)
    if preset not in preset_names():
        raise unknown_name("preset", preset, preset_names(), where=f"defaults of {source}")
    generation = groups.pop(GENERATION, None)
    groups |= {key: str(o.value) for key, o in choices.items() if key != GENERATION}
    layered = Layered()
    _lay_preset(layered, preset, groups)
    if generation is not None:
        _lay_generation(layered, generation)
    layered.merge(_without_missing(layer), source)
    for override in given:
        if override.key == GENERATION and override.key in choices:
            _lay_generation(layered, override.value)
        elif override.key not in choices and not layered.apply(override):
            raise _nothing_to_delete(override, layered.values)
    _lay_prompts(layered)
    return Composed(_resolved(layered.values), layered.origin, source)


def _lay_generation(layered: Layered, name: str) -> None:
    """Lay a generation preset over what stands, which is no more than what it keeps of that.

    It is laid where it is named, so that one on the command line decodes otherwise than the file says.
    """
    # pydantic loads with it, which a listing of presets can do without.
    from lossmith.config.generate import ABOUT_THE_ANSWER
    from lossmith.config.generation_presets import generation_preset

    for key in [key for key in layered.values.get(GENERATION) or {} if key not in ABOUT_THE_ANSWER]:
        layered.delete([GENERATION, key])
    layered.merge({GENERATION: generation_preset(name)}, f"{GENERATION}={name}")


def _lay_prompts(layered: Layered) -> None:
    task = layered.values.get("task")
    if isinstance(task, dict) and (task.get("prompts") is not None or task.get("strategy") is not None):
        # pydantic loads with it, which a listing of presets can do without.
        from lossmith.config.prompts import lay_prompts

        lay_prompts(layered, task, read=read_values)


def _without_missing(layer: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out `???`, the mark of a key that is still to be given."""
    return {
        key: _without_missing(value) if isinstance(value, Mapping) and value else value
        for key, value in layer.items()
        if value != "???"
    }


def _lay_preset(layered: Layered, preset: str, groups: Mapping[str, str]) -> None:
    for group, name in groups.items():
        if name not in group_names(group):
            raise unknown_name(f"file of the group {group}", name, group_names(group), where=f"{group}={name}")
    layered.merge(_hydra(preset, groups), f"preset {preset}")
    for group, name in groups.items():
        text = (files("lossmith.config") / "presets" / group / f"{name}.yaml").read_text(encoding="utf-8")
        for path, _ in leaves(_parse_yaml(text, f"{group}={name}")):
            if path in layered.origin:
                layered.origin[path] = f"{group}={name}"


def _hydra(preset: str, groups: Mapping[str, str]) -> dict[str, Any]:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    # A program that runs under Hydra itself keeps its state.
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("lossmith.config.presets", version_base="1.3"):
            chosen = [f"{group}={name}" for group, name in groups.items()]
            composed = OmegaConf.to_container(hydra_compose(f"preset/{preset}", overrides=chosen), resolve=False)
    finally:
        GlobalHydra.instance().hydra = outer
    if not isinstance(composed, dict):
        raise TypeError(f"preset {preset} is no mapping")
    return {str(key): value for key, value in composed.items()}


def _read_file(config: str | Path) -> dict[str, Any]:
    path = Path(config).expanduser()
    if (path / "config.yaml").is_file():
        raise ConfigError(
            f"'{config}' is a run folder, not a configuration",
            got=config,
            expected="a preset of `lossmith list presets`, or a YAML or JSON file",
            fix=f"its configuration is {path / 'config.yaml'}",
        )
    if not path.is_file():
        if path.suffix in (".yaml", ".yml", ".json") or "/" not in str(config) or path.parent.is_dir():
            known = preset_names()
            near = nearest(str(config), known)
        else:
            near = nearest(str(config), preset_names())
        raise ConfigError(
            f"'{config}' is neither a preset nor a file",
            got=config,
            expected="a preset of `lossmith list presets`, or a YAML or JSON file",
            fix=f"did you mean '{near}'?" if near else None,
        )
    return read_values(path)


def read_values(path: Path) -> dict[str, Any]:
    """The keys and values of a JSON or YAML file.

    Raises ConfigError where it cannot be read or holds no mapping.
    """
    loaded = read_yaml(path)
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path} holds no mapping", got=type(loaded).__name__, expected="keys and values")
    return {str(key): value for key, value in loaded.items()}


def read_yaml(path: Path) -> Any:
    """What a JSON or YAML file holds, keys and values or a list; ConfigError where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error}", got=path) from error
    return _parse_json(text, path) if path.suffix == ".json" else _parse_yaml(text, str(path))


def _parse_json(text: str, path: Path) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            twice = next(k for k in keys if keys.count(k) > 1)
            raise ConfigError(f"{path} gives the key '{twice}' twice", got=twice, expected="each key once")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=once)
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{path} is not valid JSON: {error}", got=path) from error


def _parse_yaml(text: str, source: str) -> Any:
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        loaded = OmegaConf.create(text) if text.strip() else OmegaConf.create({})
    except (yaml.YAMLError, OmegaConfBaseException, ValueError) as error:
        told = " ".join(str(error).split())
        raise ConfigError(f"{source} is not valid YAML: {told}", got=source) from error
    return OmegaConf.to_container(loaded, resolve=False)


def _take_defaults(layer: dict[str, Any], groups: dict[str, str], source: str) -> str | None:
    """Read the file's `defaults` list and its group names; returns the preset it names."""
    preset = None
    for entry in layer.pop("defaults", None) or []:
        if isinstance(entry, str) and entry != "_self_":
            if preset:
                raise ConfigError(
                    f"defaults of {source} name two presets", got=f"{preset}, {entry}", expected="one preset"
                )
            preset = entry
        elif isinstance(entry, Mapping):
            for group, name in entry.items():
                if group not in GROUPS:
                    raise unknown_name("group", str(group), GROUPS, where=f"defaults of {source}")
                groups[str(group)] = str(name)
    for group in GROUPS:
        if isinstance(layer.get(group), str):
            groups[group] = layer.pop(group)
    return preset


def _bare_preset(layer: Mapping[str, Any]) -> str:
    task = layer.get("task")
    kind = task.get("kind") if isinstance(task, Mapping) else None
    return kind if kind in preset_names() else "causal"


def _nothing_to_delete(override: Override, values: Mapping[str, Any]) -> ConfigError:
    near = nearest(override.key, [path for path, _ in leaves(values)] + list(values))
    return ConfigError(
        f"'{override.key}' is not set, so it cannot be taken out",
        got=override.text,
        fix=f"did you mean '~{near}'?" if near else None,
    )


def _resolved(values: dict[str, Any]) -> dict[str, Any]:
    """Resolve `${...}`, but never inside the text of a template or a schema."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    data = dict(values.get("data") or {})
    texts = {key: data.pop(key) for key in _TEXTS if data.get(key) is not None}
    try:
        resolved = OmegaConf.to_container(OmegaConf.create({**values, "data": data}), resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"an interpolation could not be resolved: {error}") from error
    if not isinstance(resolved, dict):
        raise TypeError("a configuration is a mapping")
    out = {str(key): value for key, value in resolved.items()}
    if texts:
        out["data"] |= texts
    elif "data" not in values:
        out.pop("data")
    return out
