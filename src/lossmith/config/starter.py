"""The commented configuration that `lossmith init` writes."""

from __future__ import annotations

from typing import Any

from lossmith.config.compose import compose, preset_names
from lossmith.config.explain import all_paths
from lossmith.config.layers import leaves
from lossmith.config.load import as_yaml, check
from lossmith.config.schema import Config
from lossmith.errors import unknown_name


def starter_text(preset: str) -> str:
    """YAML that names the preset, sets what must be set, and shows every value of the preset as a comment.

    Raises InputError for an unknown preset.
    """
    if preset not in preset_names():
        raise unknown_name("preset", preset, preset_names())
    composed = compose(preset)
    checked = check(composed)
    lines = [
        f"# lossmith configuration on the preset {preset}. What is commented out is what the preset holds:",
        "# take the # away to change it. `lossmith config THIS-FILE --provenance` shows where each value came from.",
        f"defaults: [{preset}]",
        "",
        f"name: {preset.replace('/', '-')}",
        "data:",
        "  files: ???            # one file, a list, or {train: ..., validation: ..., test: ...}",
    ]
    if checked.data.fields:
        lines.append("  fields:               # name in the template: column in your file")
        lines += [f"    {name}: {column}" for name, column in checked.data.fields.items()]
    lines += ["", "# model: scratch-tiny    # random weights, no download", ""]
    lines += [f"# {line}".rstrip() for line in as_yaml(checked).splitlines()]
    return "\n".join(lines) + "\n"


def described_keys() -> list[tuple[str, Any, str]]:
    """Path, default and description of every key of the schema, for reference pages."""
    defaults = dict(leaves(Config().model_dump()))
    found = []
    for path in all_paths():
        model: Any = Config
        *parents, key = path.split(".")
        for part in parents:
            model = model.model_fields[part].annotation
            model = next((m for m in getattr(model, "__args__", [model]) if hasattr(m, "model_fields")), model)
        found.append((path, defaults.get(path), model.model_fields[key].description or ""))
    return found
