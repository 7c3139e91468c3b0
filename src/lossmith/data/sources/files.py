"""From `data.files` to a list of sources: globs, splits, weights, names that tell the files apart."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from lossmith.config.data import DataConfig, SplitFiles, WeightedFile
from lossmith.errors import ConfigError, DataError, nearest

Listed = tuple[str | None, str, float]


@dataclass(frozen=True, slots=True)
class Source:
    """Where records come from: one file, or one call of the user's function over several.

    `name` is the file's name, with as many folders before it as it takes to tell two files of one name apart;
    `split` is None where the records are still to be divided.
    """

    name: str
    paths: tuple[Path, ...]
    split: str | None = None
    weight: float = 1.0
    function: str | None = None


def list_sources(data: DataConfig) -> list[Source]:
    """The sources that `data.files` and `data.source` name, in the order written.

    Raises DataError for a missing file, with the nearest name that exists, and for a file that is named twice.
    """
    listed = [(split, path, weight) for split, text, weight in _written(data) for path in _expand(text)]
    paths = [path.resolve() for _, path, _ in listed]
    for path in paths:
        if paths.count(path) > 1:
            raise DataError(
                f"{path.name} is named twice in data.files",
                got=path,
                expected="every file once",
                fix="to repeat its training records write {path: ..., weight: 2}",
            )
    if data.source is not None:
        return _own_sources(data.source, listed)
    if not listed:
        raise ConfigError("data.files names no file", expected="a path, a list, or {train: ..., test: ...}")
    names = _telling_names(paths)
    return [Source(name, (path,), split, weight) for name, (split, path, weight) in zip(names, listed, strict=True)]


def _own_sources(function: str, listed: Sequence[tuple[str | None, Path, float]]) -> list[Source]:
    if not listed:
        return [Source(function, (), function=function)]
    sources = []
    for (split, weight), items in groupby(listed, key=lambda item: (item[0], item[2])):
        name = function if split is None else f"{function}[{split}]"
        sources.append(Source(name, tuple(path for _, path, _ in items), split, weight, function))
    if len({source.name for source in sources}) < len(sources):
        sources = [
            Source(f"{source.name}#{number}", source.paths, source.split, source.weight, function)
            for number, source in enumerate(sources, start=1)
        ]
    return sources


def _written(data: DataConfig) -> Iterator[Listed]:
    files = data.files
    if isinstance(files, SplitFiles):
        for split in ("train", "validation", "test"):
            for path, weight in _entries(getattr(files, split)):
                yield split, path, weight
    else:
        for path, weight in _entries(files):
            yield None, path, weight


def _entries(files: str | list[str | WeightedFile] | None) -> Iterator[tuple[str, float]]:
    for entry in [files] if isinstance(files, str) else files or []:
        if isinstance(entry, WeightedFile):
            yield entry.path, entry.weight
        else:
            yield entry, 1.0


def _expand(text: str) -> list[Path]:
    path = Path(text).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        raise DataError(f"{text} is a folder", got=text, expected="a file", fix=f"name its files: {text}/*.jsonl")
    if glob.has_magic(str(path)):
        found = sorted(entry for entry in _matches(path) if entry.is_file())
        if found:
            return found
        raise DataError(f"no file matches {text}", got=text, expected="a pattern that at least one file matches")
    raise _missing(path, text)


def _matches(pattern: Path) -> Iterator[Path]:
    anchor = Path(pattern.anchor) if pattern.is_absolute() else Path()
    return anchor.glob(str(pattern.relative_to(pattern.anchor)))


def _missing(path: Path, text: str) -> DataError:
    folder = path.parent
    while not folder.is_dir():
        folder = folder.parent
    beside = sorted(entry.name for entry in folder.iterdir())
    if folder != path.parent:
        wanted = path.relative_to(folder).parts[0]
        near = nearest(wanted, beside)
        fix = f"did you mean '{folder / near}'?" if near else None
        return DataError(f"{text} does not exist", got=text, expected=f"an existing folder below {folder}", fix=fix)
    near = nearest(path.name, beside)
    listing = ", ".join(beside[:8]) + (", ..." if len(beside) > 8 else "")
    fix = f"did you mean '{folder / near}'?" if near else "paths are read from the folder the command runs in"
    return DataError(f"{text} does not exist", got=text, expected=f"a file; in {folder}: {listing}", fix=fix)


def _telling_names(paths: Sequence[Path]) -> list[str]:
    parts = 1
    while True:
        names = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            return names
        parts += 1
