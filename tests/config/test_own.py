"""Functions of the user's own: where they are found, and what is said where they are not."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lossmith.config.load import load_config
from lossmith.errors import InputError
from lossmith.names import code_hash, import_folders, load_attribute
from lossmith.runs import RunFolder, open_run


@pytest.fixture(autouse=True)
def _paths_as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr("lossmith.names.own._added", [])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    modules = set(sys.modules)
    yield
    for name in set(sys.modules) - modules:
        if name.startswith("own_"):
            del sys.modules[name]


def write(file: Path, text: str = "def poly1(stats): return stats\n") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_a_module_in_the_working_folder_is_found(tmp_path: Path):
    write(tmp_path / "here" / "own_cwd.py")
    assert load_attribute("own_cwd:poly1", what="loss")(3) == 3
    assert import_folders() == [str(tmp_path / "here")]


def test_a_module_beside_the_configuration_is_found_before_one_in_the_working_folder(tmp_path: Path):
    write(tmp_path / "conf" / "own_beside" / "__init__.py", "")
    write(tmp_path / "conf" / "own_beside" / "losses.py", "where = 'beside'")
    write(tmp_path / "here" / "own_beside.py", "losses = None")
    file = write(tmp_path / "conf" / "mine.yaml", "objective: {poly: {loss: 'own_beside.losses:where'}}")
    load_config(file)
    assert load_attribute("own_beside.losses:where", what="loss") == "beside"


def test_what_is_installed_is_never_shadowed(tmp_path: Path):
    write(tmp_path / "here" / "json.py", "dumps = 'mine'")
    write(tmp_path / "here" / "own_user.py", "import json\nused = json.dumps")
    assert load_attribute("own_user:used", what="loss") is json.dumps


def test_a_run_finds_what_lay_beside_its_configuration(tmp_path: Path):
    write(tmp_path / "conf" / "own_run.py")
    run = RunFolder(tmp_path / "runs" / "one")
    write(run.config, "name: one\n")
    run.update_manifest(code=[str(tmp_path / "conf")])
    with pytest.raises(InputError):
        load_attribute("own_run:poly1", what="loss")
    open_run(run.path)
    assert callable(load_attribute("own_run:poly1", what="loss"))
    run.manifest_file.write_text("{")
    assert open_run(run.path) == run


@pytest.mark.parametrize(
    ("text", "path", "says"),
    [
        ("", "own_bad:poly1", "module 'own_bad' has no 'poly1'"),
        ("def poly2(stats): ...", "own_bad:poly1", "did you mean 'own_bad:poly2'?"),
        ("", "own_absent:poly1", "No module named 'own_absent'"),
        ("", "own_bad.inner:poly1", "No module named 'own_bad.inner'"),
        ("import own_missing", "own_bad:poly1", "No module named 'own_missing'"),
        ("x = 1\n1 / 0", "own_bad:poly1", "own_bad.py line 2"),
        ("x = 1\n\ndef f(:\n", "own_bad:poly1", "own_bad.py line 3"),
        ("", "own_bad", "written module:attribute"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, path: str, says: str):
    write(tmp_path / "here" / "own_bad.py", text)
    with pytest.raises(InputError) as error:
        load_attribute(path, what="loss")
    assert says in str(error.value)
    assert error.value.exit_code == 2


def test_the_folders_looked_in_are_named(tmp_path: Path):
    load_config(write(tmp_path / "conf" / "mine.yaml", "seed: 1"))
    with pytest.raises(InputError) as error:
        load_attribute("own_nowhere:poly1", what="loss")
    for folder in ("conf", "here"):
        assert str(tmp_path / folder) in str(error.value.expected)
    assert "beside the configuration" in str(error.value.fix)


def test_the_hash_is_of_the_file_that_holds_the_function(tmp_path: Path):
    import hashlib

    file = write(tmp_path / "here" / "own_code.py")
    assert code_hash("own_code:poly1", what="loss") == hashlib.sha256(file.read_bytes()).hexdigest()
