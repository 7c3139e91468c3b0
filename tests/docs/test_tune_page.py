"""The search that docs/tune.md shows can be carried out."""

from __future__ import annotations

from pathlib import Path

from lossmith.config.load import load_config
from lossmith.studies.tune_aim import aim_of
from lossmith.studies.tune_space import space_of

PAGE = Path(__file__).parents[2] / "docs" / "tune.md"


def test_the_search_of_the_page_is_one(tmp_path: Path):
    shown = PAGE.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    file = tmp_path / "search.yaml"
    file.write_text(shown)
    config = load_config(file)
    told = {one.key: one.told() for one in space_of(config)}
    assert told["model.lora_r"] == [8, 16, 32, 64]
    assert told["train.learning_rate"] == {"low": 1e-5, "high": 1e-3, "log": True, "step": None}
    assert len(told) == 5
    assert (aim_of(config).metric, aim_of(config).direction) == ("loss", "down")
