"""Peak memory of preparing 50,000 records against 2,000: it must stay under 1.3 times.

    python benchmarks/prepare_memory.py [--out FILE]

Each size runs in a process of its own, with the same tokenizer, template and kind of record. Prints the peaks and
their ratio, writes them as JSON with --out, and leaves with 1 where the ratio is above the limit.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measuring import resident_bytes, write_json

SMALL, LARGE = 2_000, 50_000
LIMIT = 1.3
WORDS = 5_000


def write_source(path: Path, records: int) -> None:
    """Records of 40 to 160 random words, every tenth with a cluster of its neighbours, ids spread over the file."""
    random_words = random.Random(0)
    words = ["".join(random_words.choices("aeioulnrst", k=random_words.randint(3, 9))) for _ in range(WORDS)]
    with path.open("w", encoding="utf-8") as file:
        for number in range(records):
            row = {
                "id": f"record-{number}",
                "cluster": f"cluster-{number // 10}",
                "question": " ".join(random_words.choices(words, k=random_words.randint(20, 80))),
                "answer": " ".join(random_words.choices(words, k=random_words.randint(20, 80))),
            }
            file.write(json.dumps(row) + "\n")


def byte_tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|end|>", pad_token="<|pad|>")


def measure(records: int) -> dict[str, Any]:
    """Prepare `records` records in this process."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LOSSMITH_CACHE"] = str(Path(folder) / "cache")
        source = Path(folder) / "rows.jsonl"
        write_source(source, records)
        from lossmith.config.schema import Config
        from lossmith.data.prepare import prepare_data

        template = {"prompt": "{{ question }}\n", "answer": '{% span "reply" %}{{ answer }}{% endspan %}'}
        data = {"files": str(source), "id": "id", "cluster": "cluster", "template": template, "max_length": 2048}
        tokenizer = byte_tokenizer()
        start = time.perf_counter()
        prepared = prepare_data(Config(data=data), tokenizer_for=lambda _: tokenizer, tokenizer_key="bytes")
        seconds = time.perf_counter() - start
        written = sum(prepared.counts.values())
        if written != records:
            raise RuntimeError(f"{written} of {records} records were written")
        return {"records": records, "peak_bytes": resident_bytes(), "seconds": round(seconds, 2)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=int, help="measure this many in this process and print JSON")
    parser.add_argument("--out", type=Path, help="file for the result as JSON")
    arguments = parser.parse_args()
    if arguments.records:
        print(json.dumps(measure(arguments.records)))
        return 0
    sizes = []
    for records in (SMALL, LARGE):
        command = [sys.executable, __file__, "--records", str(records)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        sizes.append(json.loads(told.splitlines()[-1]))
        peak = sizes[-1]["peak_bytes"] / 2**20
        print(f"{records:>7,} records: peak {peak:,.1f} MiB, {sizes[-1]['seconds']} s")
    ratio = sizes[1]["peak_bytes"] / sizes[0]["peak_bytes"]
    print(f"ratio {ratio:.3f} (limit {LIMIT})")
    write_json(arguments.out, {"sizes": sizes, "ratio": ratio, "limit": LIMIT, "passed": ratio < LIMIT})
    return 0 if ratio < LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
