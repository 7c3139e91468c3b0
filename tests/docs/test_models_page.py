"""docs/models.md says of every family what the table says, so that nobody believes more than was run."""

from __future__ import annotations

from pathlib import Path

from lossmith.models.families import FAMILIES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "models.md"


def test_the_table_of_families_is_the_one_of_the_code():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = lines.index("| family | run | after the output layer | LoRA goes on |") + 2
    shown = {}
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        name, run, tail, targets = (cell.strip() for cell in line.strip("|").split("|"))
        shown[name] = (run == "yes", "" if tail == "-" else tail, tuple(filter(None, targets.split(", "))))
    assert shown == {name: (row.run, row.tail, row.targets) for name, row in FAMILIES.items()}
    assert len(shown) > 50
