"""Time to `import lossmith` and to `lossmith --help`, each in fresh processes: minimum and median.

python benchmarks/startup.py [--repeat 15] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

TARGETS = {"import lossmith": 0.1, "lossmith --help": 0.4}
COMMANDS = {
    "bare python": [sys.executable, "-c", "pass"],
    "import lossmith": [sys.executable, "-c", "import lossmith, sys; assert 'torch' not in sys.modules"],
    "lossmith --help": [sys.executable, "-m", "lossmith.cli", "--help"],
}


def measure(repeat: int) -> dict[str, dict[str, float]]:
    """Seconds of each command, the commands taking turns so that noise falls on all of them."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(repeat):
        for name, command in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - start)
    return {name: {"min": min(taken), "median": statistics.median(taken)} for name, taken in times.items()}


def main() -> None:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = measure(given.repeat)
    bare = found["bare python"]["median"]
    for name, taken in found.items():
        own = taken["median"] - bare
        target = f", target {TARGETS[name]} s" if name in TARGETS else ""
        print(f"{name}: minimum {taken['min']:.3f} s, median {taken['median']:.3f} s, own {own:.3f} s{target}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
