"""Time to `import lossmith` and to `lossmith --help`, each in fresh processes: minimum and median.

python benchmarks/startup.py [--repeat 15] [--json FILE]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from functools import partial
from pathlib import Path

from measuring import interleaved, summary, write_json

TARGETS = {"import lossmith": 0.1, "lossmith --help": 0.4}
COMMANDS = {
    "bare python": [sys.executable, "-c", "pass"],
    "import lossmith": [sys.executable, "-c", "import lossmith, sys; assert 'torch' not in sys.modules"],
    "lossmith --help": [sys.executable, "-m", "lossmith.cli", "--help"],
}


def run_quietly(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    methods = {name: partial(run_quietly, command) for name, command in COMMANDS.items()}
    found = {name: summary(times) for name, times in interleaved(methods, repeat=given.repeat, warmup=0).items()}
    bare = found["bare python"]["median_s"]
    for name, taken in found.items():
        own = taken["median_s"] - bare
        target = f", target {TARGETS[name]} s" if name in TARGETS else ""
        print(f"{name}: minimum {taken['min_s']:.3f} s, median {taken['median_s']:.3f} s, own {own:.3f} s{target}")
    write_json(given.json, found)


if __name__ == "__main__":
    main()
