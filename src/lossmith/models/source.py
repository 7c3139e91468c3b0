"""Where a model comes from: a hub name, a folder, or an adapter on either; and what to say when it is not there."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossmith.errors import InputError, nearest

ADAPTER_FILE, MODEL_FILE = "adapter_config.json", "config.json"


@dataclass(frozen=True)
class Source:
    """`base` holds the weights, `adapter` (or None) what is put on them; each a hub name or an absolute folder."""

    base: str
    base_revision: str | None
    adapter: str | None = None
    adapter_revision: str | None = None

    @property
    def name(self) -> str:
        """What the tokenizer is looked for in first."""
        return self.adapter or self.base

    @property
    def revision(self) -> str | None:
        """The revision of `name`."""
        return self.adapter_revision if self.adapter else self.base_revision


def find_source(name: str, *, revision: str | None = None) -> Source:
    """Tell models, adapters and missing things apart.

    Raises InputError for a folder that holds no model, and for a path that does not exist.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _local(folder)
    if _is_path(name):
        raise not_found(name)
    return _on_hub(name, revision)


def not_found(name: str, error: BaseException | None = None) -> InputError:
    """The error for a model that is neither a folder nor on the hub, or not reachable there."""
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON")
    place = Path(name).expanduser().absolute()
    tried = f"a folder {place}"
    near = _nearest_here(name)
    fixes = [f"did you mean '{near}'?"] if near else []
    if not _is_path(name):
        tried += f", the local cache of the hub{'' if offline else ', and the hub itself'}"
        fixes.append(
            "HF_HUB_OFFLINE is set, so nothing was downloaded: unset it to fetch the model"
            if offline
            else "check the name, the network, and (for gated models) `hf auth login`"
        )
    fixes.append("model=scratch-tiny needs no download")
    said = f": {_first_line(error)}" if error is not None else ": it is a file, no folder" if place.is_file() else ""
    return InputError(
        f"the model '{name}' was not found{said}",
        got=f"{name} (tried {tried})",
        expected="a hub name, a folder with config.json, or a folder with adapter_config.json",
        fix="; ".join(fixes),
    )


def _is_path(name: str) -> bool:
    """Whether a name can be that of a folder alone."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1


def _local(folder: Path) -> Source:
    folder = folder.absolute()
    if (folder / ADAPTER_FILE).exists():
        config = json.loads((folder / ADAPTER_FILE).read_text(encoding="utf-8"))
        return _with_base(str(folder), None, config, near=folder)
    if (folder / MODEL_FILE).exists():
        return Source(str(folder), None)
    inner = folder / "model"
    fix = f"this looks like a run folder: model.base={inner}" if inner.is_dir() else None
    held = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
    raise InputError(
        f"{folder} holds no model",
        got=f"a folder with {held}",
        expected=f"{MODEL_FILE} (a model) or {ADAPTER_FILE} (an adapter)",
        fix=fix,
    )


def _on_hub(name: str, revision: str | None) -> Source:
    from transformers.utils import find_adapter_config_file

    try:
        found = find_adapter_config_file(name, revision=revision)
    except (OSError, ValueError):
        # Unreachable or misspelt: loading says so with everything that was tried.
        found = None
    if found is None:
        return Source(name, revision)
    config = json.loads(Path(found).read_text(encoding="utf-8"))
    return _with_base(name, revision, config, near=None)


def _with_base(adapter: str, revision: str | None, config: dict[str, Any], *, near: Path | None) -> Source:
    base = config.get("base_model_name_or_path")
    if not base:
        raise InputError(
            f"the adapter {adapter} does not say which base model it belongs to",
            got=f"{ADAPTER_FILE} without base_model_name_or_path",
            expected="the name or folder of its base",
        )
    places = [Path(base).expanduser(), *([near / base] if near else [])]
    for place in places:
        if (place / MODEL_FILE).exists():
            return Source(str(place.absolute()), None, adapter, revision)
    if str(base).startswith((".", "/", "~")):
        raise InputError(
            f"the base model of the adapter {adapter} is not where it was",
            got=base,
            expected="the folder of the base model",
            fix=f"put it back, or correct base_model_name_or_path in {ADAPTER_FILE}",
        )
    return Source(str(base), config.get("revision"), adapter, revision)


def _nearest_here(name: str) -> str | None:
    """A model folder near the path asked for, that of a run too, or a model in the local cache of the hub."""
    wanted = Path(name).expanduser()
    beside = wanted.parent if wanted.parent.is_dir() else Path()
    folders = {
        path.name: str(place)
        for path in sorted(beside.iterdir())
        for place in (path / "model", path)
        if (place / MODEL_FILE).exists() or (place / ADAPTER_FILE).exists()
    }
    if found := nearest(wanted.name, folders):
        return folders[found]
    from huggingface_hub.constants import HF_HUB_CACHE

    cached = [path.name.removeprefix("models--").replace("--", "/") for path in Path(HF_HUB_CACHE).glob("models--*")]
    return nearest(name, cached)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
