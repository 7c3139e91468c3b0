"""The calls to a hub, in the order of a publication, and what each failure means to whoever runs it."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from lossmith.errors import InputError, LossmithError
from lossmith.release.outgoing import GIT_ATTRIBUTES, Outgoing
from lossmith.release.publication import Publication

Progress = Callable[[int, int | None], None]
T = TypeVar("T")
# Answers of a hub that is too busy or ill for now, and seconds to wait before it is asked again.
_PASSING = (429, 500, 502, 503, 504)
_WAITS, _LONGEST_WAIT = (1.0, 2.0, 4.0), 60.0


@dataclass(frozen=True)
class Hub:
    """A hub and the token for it, which is in no text that this object gives."""

    endpoint: str
    token: str = field(repr=False)

    @property
    def api(self) -> Any:
        """huggingface_hub's client for it."""
        from huggingface_hub import HfApi

        return HfApi(endpoint=self.endpoint, token=self.token, library_name="lossmith")


def hub_with(token: str) -> Hub:
    """The hub of HF_ENDPOINT, by default that of Hugging Face.

    Raises InputError for a token that cannot be one.
    """
    from huggingface_hub.constants import ENDPOINT

    kept = token.strip()
    if not kept or any(mark.isspace() or not mark.isprintable() or not mark.isascii() for mark in kept):
        raise InputError(
            "that is no token of a hub",
            got="nothing" if not kept else "a text with blanks or other marks in it",
            expected="a token with the right to write, from the settings of your account",
        )
    return Hub(os.environ.get("HF_ENDPOINT", ENDPOINT).rstrip("/"), kept)


def sign_in(hub: Hub) -> str:
    """The name that the token belongs to; raises InputError where the hub does not know it."""
    with _telling(hub, "the hub was asked whose token this is"):
        return str(_patiently(hub.api.whoami)["name"])


def full_name(repo: str, user: str) -> str:
    """A repository's name with its owner.

    >>> full_name("dreams", "ann"), full_name("lab/dreams", "ann")
    ('ann/dreams', 'lab/dreams')
    """
    return repo if "/" in repo else f"{user}/{repo}"


def make_ready(hub: Hub, publication: Publication, *, update: bool) -> list[str]:
    """See to it that the repository is there, as visible as asked for, and holds nothing that would be lost.

    Returns the sentences that tell it. Raises InputError where it is there and public although the publication is not,
    or holds other files and `update` is not said.
    """
    from huggingface_hub.errors import RepositoryNotFoundError

    repo, kind = publication.repo, publication.kind
    with _telling(hub, f"{repo} was looked for or made"):
        try:
            found = _patiently(lambda: hub.api.repo_info(repo, repo_type=kind, files_metadata=True))
        except RepositoryNotFoundError:
            _patiently(lambda: hub.api.create_repo(repo, repo_type=kind, private=not publication.public, exist_ok=True))
            visible = "public" if publication.public else "private"
            return [f"{repo} was made, {visible}"]
    if not found.private and not publication.public:
        raise InputError(
            f"{repo} is there already, and everybody can read it",
            got="a public repository",
            expected="a private one, or --public",
            fix="--public if that is what you want, or another --to",
        )
    other = _others(found.siblings or (), publication.files)
    if other and not update:
        raise InputError(
            f"{repo} is there already and holds something else",
            got=", ".join(other[:6]) + (f" and {len(other) - 6} more" if len(other) > 6 else ""),
            expected="a new repository, or one that this very publication has begun",
            fix="--update writes these files into it, another --to leaves it alone",
        )
    told = [f"{repo} is there already: files that it holds are not sent again"]
    if found.private and publication.public:
        told.append(f"{repo} is private and stays so: its settings on the hub make it public")
    return told


def _others(siblings: Sequence[Any], files: Sequence[Outgoing]) -> list[str]:
    """Files of the repository that are not as they would be published."""
    planned = {file.path: file for file in files}
    other = []
    for there in siblings:
        ours = planned.get(there.rfilename)
        large = getattr(there, "lfs", None)
        same = ours is not None and (large.sha256 == ours.sha256 if large else there.blob_id == ours.blob)
        if not same and there.rfilename != GIT_ATTRIBUTES:
            other.append(there.rfilename)
    return other


def upload(hub: Hub, publication: Publication, *, progress: Progress | None = None) -> str:
    """Send what is not there yet, large files one by one, then make one commit of all; returns its id.

    Raises LossmithError where the network is cut; what arrived stays there, and the next time is not sent again.
    """
    from huggingface_hub import CommitOperationAdd

    files = publication.files
    additions = [
        CommitOperationAdd(
            path_in_repo=file.path,
            path_or_fileobj=file.content if isinstance(file.content, bytes) else str(file.content),
        )
        for file in files
    ]
    for number, (file, addition) in enumerate(zip(files, additions, strict=True)):
        send = partial(hub.api.preupload_lfs_files, publication.repo, [addition], repo_type=publication.kind)
        with _telling(hub, f"{file.path} was sent", sent=number, of=len(files)):
            _patiently(send)
        if progress is not None:
            progress(number + 1, len(files))
    with _telling(hub, "the files were put together to a commit", sent=len(files), of=len(files)):
        done = _patiently(
            lambda: hub.api.create_commit(
                publication.repo, additions, repo_type=publication.kind, commit_message="Publish with lossmith"
            )
        )
    return str(done.oid)


def download(hub: Hub, publication: Publication, commit: str, folder: Path) -> None:
    """Fetch every file of a commit into a folder.

    Raises LossmithError naming the files that came back otherwise.
    """
    from huggingface_hub import snapshot_download

    with _telling(hub, f"{publication.repo} was fetched again"):
        snapshot_download(
            publication.repo,
            repo_type=publication.kind,
            revision=commit,
            local_dir=folder,
            token=hub.token,
            endpoint=hub.endpoint,
        )
    spoilt = [
        file.path
        for file in publication.files
        if not (folder / file.path).is_file() or Outgoing(file.path, folder / file.path).sha256 != file.sha256
    ]
    if spoilt:
        raise LossmithError(
            f"{publication.repo} does not give back what was sent",
            got=f"other or no content: {', '.join(spoilt[:6])}",
            expected="every file with the hash it has here",
            fix="publish again with --update",
        )


def _patiently(call: Callable[[], T]) -> T:
    """Make a call that may be made twice, and again where the hub is too busy or ill to answer it."""
    from huggingface_hub.errors import HfHubHTTPError

    for wait in _WAITS:
        try:
            return call()
        except HfHubHTTPError as error:
            if (answer := getattr(error, "response", None)) is None or answer.status_code not in _PASSING:
                raise
            asked = str(answer.headers.get("Retry-After", ""))
            time.sleep(min(float(asked), _LONGEST_WAIT) if asked.isdigit() else wait)
    return call()


class _WithoutSignatures(logging.Filter):
    """Addresses to store a file at are signed: who reads the signature may write there for a while."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _unsigned(record.getMessage()), ()
        return True


def _unsigned(text: str) -> str:
    """The text with its addresses cut before their parameters.

    >>> _unsigned("reset by peer while requesting PUT https://store/a?X-Signature=abc'")
    "reset by peer while requesting PUT https://store/a'"
    """
    return re.sub(r"(https?://[^\s'\"?]+)\?[^\s'\"]*", r"\1", text)


@contextmanager
def _telling(hub: Hub, doing: str, *, sent: int = 0, of: int = 0) -> Iterator[None]:
    """Say what a failure of the hub means; the token is in none of it."""
    logger, unsigned = logging.getLogger("huggingface_hub.utils._http"), _WithoutSignatures()
    logger.addFilter(unsigned)
    try:
        with _translated(hub, doing, sent=sent, of=of):
            yield
    finally:
        logger.removeFilter(unsigned)


@contextmanager
def _translated(hub: Hub, doing: str, *, sent: int, of: int) -> Iterator[None]:
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

    try:
        yield
    except OfflineModeIsEnabled:
        raise InputError(
            "HF_HUB_OFFLINE is set, so nothing can be published",
            got="HF_HUB_OFFLINE=1",
            expected="a way to the hub",
            fix="unset it; --dry-run needs no network",
        ) from None
    except (HTTPError, OSError, RuntimeError, ValueError, LookupError) as error:
        # Of what an upload's thread or the Xet protocol raised, what is underneath says what happened.
        chain = list(_chain(error))
        answered = next((each for each in chain if isinstance(each, HfHubHTTPError)), None)
        if answered is not None:
            raise _refused(hub, answered, doing) from None
        if not isinstance(error, HTTPError | OSError | RuntimeError):
            raise LossmithError(
                f"what {hub.endpoint} answered while {doing} is no answer of a hub",
                got=_first_line(hub, error),
                expected="a hub, such as https://huggingface.co",
                fix="HF_ENDPOINT names the hub",
            ) from None
        held = f": {sent} of {of} files had arrived" if of else ""
        again = "the same command goes on from there: large files that arrived are not sent again"
        raise LossmithError(
            f"the network was cut while {doing}{held}",
            got=_first_line(hub, chain[-1]),
            expected=f"a way to {hub.endpoint}",
            fix=again if of else "try again when there is one; HF_ENDPOINT names another hub",
        ) from None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it was raised from, the first last."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__


def _refused(hub: Hub, error: Any, doing: str) -> LossmithError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    said = _first_line(hub, error)
    if status == 401:
        return InputError(
            f"the hub does not know this token ({hub.endpoint})",
            got="401 Unauthorized",
            expected="a token with the right to write",
            fix="make one in the settings of your account, and give it as HF_TOKEN or when asked",
        )
    if status == 403:
        return InputError(
            f"the token may not do this: {doing}",
            got=said,
            expected="a token with the right to write there",
            fix="make one that may write, or publish --to a repository of yours",
        )
    if status is not None and status < 500 and status not in _PASSING:
        return InputError(f"the hub refused while {doing}", got=said, expected="a request that the hub takes")
    return LossmithError(
        f"the hub failed while {doing}",
        got=said,
        expected=f"an answer of {hub.endpoint}",
        fix="the same command goes on from there when the hub is well again",
    )


def _first_line(hub: Hub, error: BaseException) -> str:
    """What an error says, without the token, wherever it came from."""
    line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return _unsigned(line).replace(hub.token, "(token)")
