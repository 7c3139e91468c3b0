"""What is to be published: a model with its card, or a data file with its card, planned before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lossmith.errors import InputError
from lossmith.release.outgoing import Outgoing, files_of, refuse_places
from lossmith.release.run_model import TrainedRun, facts_of, run_of, trained_run
from lossmith.runs import RunFolder

CARD = "README.md"


@dataclass(frozen=True)
class Publication:
    """A repository as it is to be. `folder` is that of the model, None for data."""

    repo: str
    kind: Literal["model", "dataset"]
    files: tuple[Outgoing, ...]
    public: bool = False
    folder: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def model_publication(
    target: str | Path, repo: str, *, public: bool = False, license_name: str | None = None
) -> Publication:
    """The merged model of a run where there is one, else its model as it was trained; or one folder of a run.

    Raises InputError where there is no model, where it was merged before the run was trained again, and for an adapter
    on a base that lies on this machine alone.
    """
    from lossmith.release.card.model_card import model_card

    _check_repo(repo)
    trained, folder = _model_of(Path(target))
    merged = facts_of(folder).get("merged")
    if merged is not None and merged["trained"] != trained.trained:
        raise InputError(
            f"{trained.folder.path} has been trained again since {folder} was merged",
            got=merged["trained"],
            expected=trained.trained,
            fix=f"lossmith merge {trained.folder.path}",
        )
    card = model_card(trained, folder, name=repo, license_name=license_name)
    files = files_of(folder, leaving_out=(CARD,))
    refuse_places(files)
    notes = []
    if merged is None and (folder / "adapter_config.json").is_file():
        notes.append("only the adapter is published; lossmith merge makes one whole model of it and its base")
    metrics = _published_metrics(trained.folder)
    every = (Outgoing(CARD, card.encode()), *files, *metrics)
    return Publication(repo, "model", every, public=public, folder=folder, notes=tuple(notes))


def _model_of(target: Path) -> tuple[TrainedRun, Path]:
    if (target / "config.yaml").is_file():
        trained = trained_run(target)
        whole = trained.folder.merged
        return trained, whole if whole.is_dir() else trained.folder.model
    run = run_of(target) if target.is_dir() else None
    if run is None:
        raise InputError(
            f"{target} is neither a run nor the model of one",
            got=target,
            expected="a run folder, or its model or merged folder: the card is written from the run",
            fix="--dataset publishes a data file",
        )
    return trained_run(run.path), target


def _published_metrics(run: RunFolder) -> list[Outgoing]:
    return [Outgoing("metrics.json", run.metrics())] if run.metrics().is_file() else []


def data_publication(
    file: str | Path, repo: str, *, public: bool = False, license_name: str | None = None
) -> Publication:
    """A data file as it is, with a card that counts its records and columns.

    Raises InputError where there is no such file, or it is none that records can be read from.
    """
    from lossmith.release.card.data_card import data_card

    _check_repo(repo)
    path = Path(file)
    if not path.is_file():
        raise InputError(
            f"there is no file {path}", got=path, expected="a data file: JSONL, JSON, CSV, Parquet or text"
        )
    data = Outgoing(f"data/{path.name}", path)
    card = data_card(path, data, repo=repo, license_name=license_name)
    return Publication(repo, "dataset", (Outgoing(CARD, card.encode()), data), public=public)


def _check_repo(repo: str) -> None:
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise InputError(
            f"'{repo}' is no name of a repository: {str(error).splitlines()[0]}",
            got=repo,
            expected="NAME, or OWNER/NAME",
        ) from error
