"""Whether a model that is named can be read: the run it is of, its weights, its tokenizer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lossmith.doctor.health.finding import Finding
from lossmith.doctor.health.tokenizer import tokenizer_findings
from lossmith.models.retrieval_files import holds_retrieval
from lossmith.runs import RunFolder

_AREA = "model"


def model_findings(name: str) -> Iterator[Finding]:
    """What stands out in a model: a hub name, a folder, or a run, whose trained model is looked at.

    Raises InputError where there is none.
    """
    run = RunFolder(Path(name).expanduser())
    place = str(run.model) if run.config.is_file() and run.model.is_dir() else name
    folder = Path(place).expanduser()
    if holds_retrieval(folder):
        yield from _weights(folder)
        yield Finding(_AREA, "kind", "ok", "a retrieval classifier, whose own encoder reads texts")
        return
    # What the tokenizer raises says that there is no model at all.
    of_tokenizer = list(tokenizer_findings(place))
    yield from _weights(folder)
    yield from of_tokenizer


def _weights(folder: Path) -> Iterator[Finding]:
    """Whether the files of weights in a folder are whole, as their heads say; those of the hub are not looked at."""
    from safetensors import SafetensorError, safe_open

    files = sorted(folder.glob("*.safetensors"))
    for file in files:
        try:
            with safe_open(file, framework="numpy"):
                pass
        except (OSError, SafetensorError) as error:
            said = f"{file.name} is damaged: {str(error).splitlines()[0]}"
            yield Finding(_AREA, "weights", "error", said, "copy or download it again, or train anew")
            return
    if files:
        megabytes = sum(file.stat().st_size for file in files) / 1e6
        said = f"{len(files)} whole file{'s' * (len(files) > 1)}, {megabytes:,.1f} MB"
        yield Finding(_AREA, "weights", "ok", said, facts={"megabytes": megabytes})
