"""Generation presets: named settings of the group `generate`, shipped or in a file of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossmith.errors import InputError, unknown_name

if TYPE_CHECKING:
    from lossmith.config.generate import GenerateConfig

GROUP = "generate"


def generation_preset(name: str | Path) -> dict[str, Any]:
    """The settings of a generation preset, by the name of a shipped one or by a YAML or JSON file of such settings.

    They are checked by the schema of the group `generate`; what contradicts what is judged where they are used
    (generate.settings.check_settings). Raises InputError for an unknown name, ConfigError for what is no setting.

    >>> generation_preset("greedy")
    {'do_sample': False}
    """
    from lossmith.config.compose import group_names, read_values

    path = Path(name).expanduser()
    if str(name) in group_names(GROUP):
        shipped = files("lossmith.config") / "presets" / GROUP / f"{name}.yaml"
        return checked_settings(read_values(Path(str(shipped))))
    if path.suffix in (".yaml", ".yml", ".json") and path.is_file():
        return checked_settings(read_values(path))
    raise unknown_name("generation preset", str(name), group_names(GROUP), where=f"{GROUP}={name}")


def preset_about(name: str) -> str:
    """What a shipped preset is for, in the words at its head.

    >>> preset_about("greedy")
    'The likeliest token at every step: nothing left to chance, one pass, the plainest to compare runs by.'
    """
    shipped = files("lossmith.config") / "presets" / GROUP / f"{name}.yaml"
    return shipped.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def checked_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The same settings, where the schema takes each of them; ConfigError with the nearest name where not."""
    from pydantic import ValidationError

    from lossmith.config.explain import explain
    from lossmith.config.schema import Config

    values = {GROUP: dict(settings)}
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise explain(error, values) from None
    checked = config.generate.model_dump(include=set(settings))
    return {key: checked[key] for key in settings}


def with_preset(own: GenerateConfig, preset: str | Path | Mapping[str, Any]) -> GenerateConfig:
    """What is configured, decoded as a preset says: by its name or file, or by its settings.

    A preset is a whole way of decoding: settings that it does not name are the defaults, not those of `own`. What is
    said of the answer itself (its length, what it may hold) stays where the preset does not speak of it.

    >>> from lossmith.config.generate import GenerateConfig
    >>> drawn = GenerateConfig(max_new_tokens=40, do_sample=True, top_p=0.5)
    >>> with_preset(drawn, "greedy").settings()
    {'max_new_tokens': 40, 'do_sample': False}
    """
    from lossmith.config.generate import ABOUT_THE_ANSWER, GenerateConfig

    settings = checked_settings(preset) if isinstance(preset, Mapping) else generation_preset(preset)
    return GenerateConfig(**{**own.model_dump(include=set(ABOUT_THE_ANSWER)), **settings})


def read_presets(file: str | Path) -> dict[str, dict[str, Any]]:
    """The presets that a file asks for, settings by name, in its order: shipped names, or NAME: {settings}.

    Raises InputError where the file holds neither, names one twice, or a name cannot be part of a file's name.
    """
    from lossmith.config.compose import read_yaml

    path = Path(file).expanduser()
    if not path.is_file():
        raise InputError(f"{file} is no file", got=file, expected="a YAML file of presets", fix=_EXAMPLE)
    loaded = read_yaml(path)
    entries = loaded if isinstance(loaded, list) else [loaded]
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        one = {entry: None} if isinstance(entry, str) else entry
        if not isinstance(one, Mapping):
            raise InputError(f"{file} holds what is no preset", got=entry, expected=_EXAMPLE)
        for name, settings in one.items():
            if str(name) in found:
                raise InputError(f"{file} names the preset '{name}' twice", got=name, expected="each name once")
            found[_usable(str(name), file)] = _settings_of(str(name), settings, file)
    if not found:
        raise InputError(f"{file} names no preset", got="an empty file", expected=_EXAMPLE)
    return found


_EXAMPLE = "[greedy, beams], or lines such as warm: {do_sample: true, temperature: 0.9}"


def _settings_of(name: str, settings: Any, file: str | Path) -> dict[str, Any]:
    if settings is None:
        return generation_preset(name)
    if isinstance(settings, str):
        return generation_preset(settings)
    if isinstance(settings, Mapping):
        return checked_settings({str(key): value for key, value in settings.items()})
    raise InputError(f"the preset '{name}' of {file} is no mapping", got=settings, expected=_EXAMPLE)


def _usable(name: str, file: str | Path) -> str:
    if not name.strip(". ") or set(name) & set("/\\\0"):
        raise InputError(
            f"'{name}' of {file} cannot be part of a file's name",
            got=name,
            expected="a name without slashes: predictions are written to SPLIT.NAME.parquet",
        )
    return name
