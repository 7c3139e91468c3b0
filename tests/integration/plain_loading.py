"""A saved model in a process that has no lossmith: does it generate what the run's predictions say?"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import json, sys
import torch, pyarrow.parquet as pq
import {library}
from transformers import AutoTokenizer
folder, predictions = sys.argv[1:]
model = {library}.{loader}.from_pretrained(folder, dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(folder)
{check}
made = []
for row in pq.read_table(predictions).to_pylist()[:3]:
    apart = model.config.is_encoder_decoder
    ids = tokenizer(row["prompt"], add_special_tokens=apart, return_tensors="pt")
    out = model.generate(**ids, max_new_tokens=12, do_sample=False)
    new = out[0, 1 if apart else ids["input_ids"].shape[1]:]
    made.append(tokenizer.decode(new, skip_special_tokens=True) == row["prediction"])
assert not any(name.split(".")[0] == "lossmith" for name in sys.modules)
print(json.dumps(made))
"""


def same_answers(run: Path, *, library: str, loader: str, check: str = "") -> list[bool]:
    """For the first three predictions of a run, whether `library.loader` gives the same text; `check` runs before."""
    script = SCRIPT.format(library=library, loader=loader, check=check)
    done = subprocess.run(
        [sys.executable, "-c", script, str(run / "model"), str(run / "predictions" / "test.parquet")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout.splitlines()[-1]))
