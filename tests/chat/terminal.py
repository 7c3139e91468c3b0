"""A program in a pseudo-terminal: what is typed goes in, what it shows comes out."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\r")


class Terminal:
    """Runs a program in a terminal of its own; leaves no process behind."""

    def __init__(self, command: Sequence[str], *, folder: Path) -> None:
        self.raw = ""
        self._seen = 0
        self._process, self._side = pty.fork()
        if not self._process:
            os.chdir(folder)
            os.execvpe(command[0], list(command), {**os.environ, "TERM": "xterm", "COLUMNS": "200", "LINES": "60"})

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if not self._ended(0):
            os.kill(self._process, signal.SIGKILL)
            self._ended(10)
        os.close(self._side)

    @property
    def shown(self) -> str:
        """What was shown, without the signs that move the cursor."""
        return _CONTROLS.sub("", self.raw)

    def type(self, keys: str) -> None:
        os.write(self._side, keys.encode())

    def wait(self, text: str, *, seconds: float = 30) -> str:
        """What was shown since the last time, up to and with `text`."""
        end = time.monotonic() + seconds
        while text not in self.shown[self._seen :]:
            assert time.monotonic() < end, f"{text!r} was not shown; shown: {self.shown[self._seen :]!r}"
            assert self._read(1.0) or not self._ended(0), f"the program has ended; shown: {self.shown[self._seen :]!r}"
        found = self.shown[self._seen : self.shown.index(text, self._seen) + len(text)]
        self._seen += len(found)
        return found

    def leaves(self, *, seconds: float = 30) -> int:
        """The exit code, once the program has ended."""
        end = time.monotonic() + seconds
        while not self._ended(0):
            assert time.monotonic() < end, f"it goes on; shown: {self.shown[self._seen :]!r}"
            self._read(0.2)
        return self._code

    def _read(self, seconds: float) -> bool:
        if not select.select([self._side], [], [], seconds)[0]:
            return False
        try:
            got = os.read(self._side, 1 << 16)
        except OSError:
            return False
        self.raw += got.decode(errors="replace")
        # The program asks where the cursor is; a terminal answers.
        if b"\x1b[6n" in got:
            self.type("\x1b[1;1R")
        return bool(got)

    def _ended(self, seconds: float) -> bool:
        if hasattr(self, "_code"):
            return True
        end = time.monotonic() + seconds
        while True:
            process, status = os.waitpid(self._process, os.WNOHANG)
            if process:
                self._code = os.waitstatus_to_exitcode(status)
                return True
            if time.monotonic() >= end:
                return False
            time.sleep(0.05)
