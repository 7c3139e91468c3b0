"""Functions of the user's own, named module:attribute, and where they are looked for."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from lossmith.errors import InputError, nearest

_added: list[str] = []


def import_from(folder: Path) -> None:
    """Let modules be found in a folder, too, after everything that is installed or on PYTHONPATH.

    Last of all, so that a file there never takes the place of a package that happens to have its name.
    """
    place = str(folder.resolve())
    if place not in sys.path:
        sys.path.append(place)
        importlib.invalidate_caches()
    if place not in _added:
        _added.append(place)


def import_folders() -> list[str]:
    """The folders that `import_from` was given: those of the configurations read, and the working folder if needed."""
    return list(_added)


def load_attribute(path: str, *, what: str) -> Any:
    """The object that `module:attribute` names; its module may lie in the working folder.

    Raises InputError, naming what is missing and the nearest name the module has, or where its code failed.
    """
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute:
        raise InputError(
            f"a {what} of your own is written module:attribute",
            got=path,
            expected="my_package.my_module:name",
        )
    module = _imported(module_name, path, what=what)
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        near = nearest(attribute, dir(module))
        raise InputError(
            f"module '{module_name}' has no '{attribute}'",
            got=path,
            expected=f"an attribute of {getattr(module, '__file__', None) or module_name}",
            fix=f"did you mean '{module_name}:{near}'?" if near else None,
        ) from error


def code_hash(path: str, *, what: str) -> str:
    """SHA-256 of the file that holds the object, to notice that it changed; of nothing where there is no file."""
    try:
        file = inspect.getsourcefile(load_attribute(path, what=what))
    except TypeError:
        file = None
    return hashlib.sha256(Path(file).read_bytes() if file and Path(file).exists() else b"").hexdigest()


def _imported(name: str, path: str, *, what: str) -> ModuleType:
    try:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if not _is_absent(name, error):
                raise
            import_from(Path.cwd())
            return importlib.import_module(name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and _is_absent(name, error):
            raise InputError(
                f"the module of the {what} '{path}' could not be imported: {error}",
                got=name,
                expected=f"a module that is installed, on PYTHONPATH, or in {' or '.join(_added)}",
                fix="put it beside the configuration, start lossmith where it lies, or set PYTHONPATH",
            ) from error
        raise _broken(name, path, error, what=what) from error


def _is_absent(name: str, error: ModuleNotFoundError) -> bool:
    """Whether the module itself is what was not found, rather than one that it imports."""
    return error.name is not None and (name == error.name or name.startswith(f"{error.name}."))


def _broken(name: str, path: str, error: Exception, *, what: str) -> InputError:
    """The module is there, and its own code fails."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = (error.filename, error.lineno) if isinstance(error, SyntaxError) else (last.filename, last.lineno)
    return InputError(
        f"the module of the {what} '{path}' could not be imported: {type(error).__name__}: {error}",
        got=f"{place[0]} line {place[1]}",
        expected=f"a module that `python -c 'import {name}'` imports",
    )
