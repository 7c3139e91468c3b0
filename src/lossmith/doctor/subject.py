"""What is inspected: a configuration and its prepared data, or a run and the data that it was trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lossmith.config.compose import preset_names
from lossmith.config.load import load_config, load_run_config
from lossmith.config.schema import Config
from lossmith.data.cache import cache_folder
from lossmith.data.fingerprint import hash_files
from lossmith.data.prepare import CLASSES, Prepared
from lossmith.data.sources.files import list_sources
from lossmith.errors import InputError
from lossmith.labels import Classes
from lossmith.runs import RunFolder, open_run, read_json
from lossmith.tasks.prepare import prepare_config

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Subject:
    """A configuration with its prepared data; `run` is the run folder, where it is one.

    `readable` says that the sources are those the rows were prepared from, so that a record can be rendered again;
    `notes` tell why not.
    """

    config: Config
    prepared: Prepared
    run: RunFolder | None = None
    readable: bool = True
    notes: tuple[str, ...] = ()


def open_subject(target: str | Path, overrides: Sequence[str] = (), *, progress: Progress | None = None) -> Subject:
    """Prepare what a preset's name, a configuration file or a run folder stands for; prepared data is used again.

    Raises InputError for a folder that is no run, ConfigError and DataError as `lossmith prepare` does.
    """
    place = Path(target).expanduser()
    if (place / "config.yaml").exists() or (place.is_dir() and str(target) not in preset_names()):
        return _of_run(open_run(place), overrides, progress=progress)
    config = load_config(target, overrides)
    return Subject(config, prepare_config(config, progress=progress))


def _of_run(run: RunFolder, overrides: Sequence[str], *, progress: Progress | None) -> Subject:
    config = load_run_config(run.config, overrides)
    manifest = run.manifest()
    data = manifest.get("data", {})
    folder = Path(data.get("folder", ""))
    if data and (folder / "fingerprint.json").exists():
        prepared = Prepared(
            folder,
            data["fingerprint"],
            read_json(folder / "audit.json"),
            manifest["template_hash"],
            data["files"],
            classes=Classes.from_json(read_json(folder / CLASSES)) if (folder / CLASSES).exists() else None,
            reused=True,
        )
        readable, notes = _same_sources(config, prepared)
        return Subject(config, prepared, run, readable, notes)
    prepared = prepare_config(config, progress=progress)
    changed = bool(data) and data["fingerprint"] != prepared.fingerprint
    told = "the data of this run is no longer in the cache, and its sources have changed: shown as prepared now"
    return Subject(config, prepared, run, notes=(told,) if changed else ())


def _same_sources(config: Config, prepared: Prepared) -> tuple[bool, tuple[str, ...]]:
    """Whether the files still hold what was prepared."""
    try:
        files = hash_files(list_sources(config.data), cache_folder())
    except InputError as error:
        return False, (f"the sources could not be read again, so nothing is compared with them: {error.message}",)
    if [file.sha256 for file in files] != [file["sha256"] for file in prepared.files]:
        return False, ("the sources have changed since this run was prepared, so nothing is compared with them",)
    return True, ()
