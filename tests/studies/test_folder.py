from __future__ import annotations

import json
from pathlib import Path

import pytest

from lossmith.config.schema import Config
from lossmith.errors import ConfigError, InputError
from lossmith.studies.children import child_of, row_of
from lossmith.studies.folder import Kind, StudyFolder, claim_study, open_study
from lossmith.train.run import claim_folder


def settings(runs: Path, **more) -> Config:
    return Config.model_validate({"name": "s", "runs_dir": str(runs), "model": {"base": "scratch-tiny"}, **more})


def taken(config: Config, kind: Kind, **how) -> StudyFolder:
    study = claim_study(config, kind, **how)
    study.write(config, [])
    return study


def test_the_name_belongs_to_the_first_question_and_others_get_a_stamp(tmp_path: Path):
    first = taken(settings(tmp_path), "cv")
    assert first.path == tmp_path / "s"
    assert claim_study(settings(tmp_path), "cv").path == first.path
    # What is measured, and how many processes do it, does not make it another study.
    same = settings(tmp_path, cv={"processes": 2}, evaluate={"metrics": ["chrf"]})
    assert claim_study(same, "cv").path == first.path
    for other in (settings(tmp_path, cv={"folds": 3}), settings(tmp_path, seed=1)):
        stamped = taken(other, "cv")
        assert stamped.path.name.startswith("s-")
        assert claim_study(other, "cv").path == stamped.path
    assert claim_study(settings(tmp_path), "ablate").path != first.path


def test_keys_that_grow_leave_the_study_the_same(tmp_path: Path):
    first = taken(settings(tmp_path, ablate={"seeds": 2}), "ablate", growing=("seeds",))
    assert claim_study(settings(tmp_path, ablate={"seeds": 9}), "ablate", growing=("seeds",)).path == first.path


def test_runs_and_studies_leave_each_other_their_folders(tmp_path: Path):
    study = taken(settings(tmp_path), "cv")
    run = claim_folder(settings(tmp_path))
    assert run.path != study.path
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "config.yaml").write_text("name: r\n")
    assert claim_study(settings(tmp_path, name="r"), "cv").path.name.startswith("r-")


def test_children_are_whole_configurations_inside_the_study(tmp_path: Path):
    config = settings(tmp_path, objective={"cross_entropy": 0.6, "focal": 0.4})
    study = claim_study(config, "ablate")
    changes = {"objective": {"sinkhorn": {"weight": 1.0, "span": "items"}}, "seed": 4, "data.split.seed": 0}
    child = child_of(study, config, name="odd-seed-4", changes=changes, varies={"objective": "odd", "seed": 4})
    assert child.config.objective == {"sinkhorn": {"weight": 1.0, "span": "items"}}
    assert (child.config.seed, child.config.split_seed, child.config.model.base) == (4, 0, "scratch-tiny")
    assert (child.config.name, child.config.runs_dir) == ("odd-seed-4", str(study.path))
    assert Config.model_validate(child.values) == child.config
    assert row_of(child, study, None) == {
        "name": "odd-seed-4",
        "path": "odd-seed-4",
        "state": "missing",
        "seconds": None,
        "error": None,
        "objective": "odd",
        "seed": 4,
    }
    with pytest.raises(ConfigError, match="focall"):
        child_of(study, config, name="x", changes={"objective": {"focall": 1.0}}, varies={})


def test_a_study_tells_what_is_missing(tmp_path: Path):
    config = settings(tmp_path)
    study = claim_study(config, "cv")
    rows = [
        {"name": "fold-0", "state": "done"},
        {"name": "fold-1", "state": "failed"},
        {"name": "fold-2", "state": "missing"},
    ]
    study.write(config, rows, results={"n": 3})
    found, held = open_study(study.path)
    assert (found, held["missing"]) == (study, ["fold-1", "fold-2"])
    assert held == json.loads(study.study_file.read_text())
    assert set(held) == {"schema", "kind", "name", "question", "config", "runs", "missing", "results"}
    assert claim_study(config, "cv").path == study.path
    with pytest.raises(InputError, match="is not a study folder"):
        open_study(tmp_path)
