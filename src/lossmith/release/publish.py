"""Publish a model or a data file: sent, fetched again, and compared."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossmith.errors import InputError, LossmithError
from lossmith.release.hub import Hub, Progress, download, full_name, make_ready, sign_in, upload
from lossmith.release.outgoing import refuse_secrets
from lossmith.release.publication import Publication
from lossmith.release.verify import verify


@dataclass(frozen=True)
class Published:
    """What was published where, and what came back: `drift` of the model fetched again, None for what is not asked."""

    repo: str
    url: str
    commit: str
    drift: Mapping[str, Any] | None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"repo": self.repo, "url": self.url, "commit": self.commit, "drift": self.drift}


def publish(
    publication: Publication,
    hub: Hub,
    *,
    update: bool = False,
    say: Callable[[str], None] = lambda _: None,
    progress: Progress | None = None,
) -> Published:
    """Send a publication to a hub, fetch it again, and hold what came back against what was sent.

    Every file is compared by its hash; a model that transformers know is loaded in a fresh process too and asked
    the same as the one here. Cut off anywhere, the same call goes on: what has arrived is not sent again.
    Raises InputError for a token that is not known or may not write, a repository without an owner in its name or with
    something else in it, and files with secrets in them; LossmithError for a network that was cut and for anything that
    came back otherwise.
    """
    repo = publication.repo
    if "/" not in repo:
        raise InputError(
            "the repository is named without its owner, whom its card names too",
            got=repo,
            expected="OWNER/NAME",
            fix=full_name(repo, sign_in(hub)),
        )
    refuse_secrets(publication.files, token=hub.token)
    for told in make_ready(hub, publication, update=update):
        say(told)
    commit = upload(hub, publication, progress=progress)
    say(f"{len(publication.files)} files are there, in the commit {commit[:12]}; now they are fetched again")
    inside = "datasets/" if publication.kind == "dataset" else ""
    return Published(repo, f"{hub.endpoint}/{inside}{repo}", commit, _compared(publication, hub, commit))


def _compared(publication: Publication, hub: Hub, commit: str) -> Mapping[str, Any] | None:
    """Fetch what was published and compare it; the drift of a model, None where there is none to ask."""
    beside = publication.folder.resolve().parent if publication.folder is not None else None
    with tempfile.TemporaryDirectory(prefix=".published-", dir=beside) as place:
        folder = Path(place) / publication.repo.rpartition("/")[2]
        download(hub, publication, commit, folder)
        if publication.folder is None or _is_retrieval(folder):
            return None
        found = verify(folder, against=publication.folder)
        if not found.passed:
            raise LossmithError(
                f"what {publication.repo} gives back is not the model that was sent",
                got="; ".join(found.complaints),
                expected="the same answers",
            )
        drift: Mapping[str, Any] = found.found["drift"]
        return drift


def _is_retrieval(folder: Path) -> bool:
    from lossmith.models.retrieval_files import holds_retrieval

    return holds_retrieval(folder)
