"""The server of the page: loopback alone, a token in every request, and nothing read but the models it was given."""

from __future__ import annotations

import hmac
import json
import secrets
import sys
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lossmith.chat.session import Voice
from lossmith.chat.transcript import transcript_text
from lossmith.errors import InputError, LossmithError
from lossmith.playground.page import page_html
from lossmith.playground.table import Table

HOST = "127.0.0.1"
TOKEN_HEADER = "X-Lossmith-Token"
# Each opened page has a conversation of its own.
PAGE_HEADER = "X-Lossmith-Page"
# A question of a megabyte is asked, and cut by the model's own limit; one of a hundred is a mistake.
_MOST_BYTES = 16 << 20


class PlaygroundServer(ThreadingHTTPServer):
    """Serves one table on 127.0.0.1; `url` holds the token that every request must show."""

    daemon_threads = True

    def __init__(self, table: Table, *, port: int = 0) -> None:
        self.table = table
        self.token = secrets.token_urlsafe(24)
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise InputError(
                f"port {port} cannot be served: {getattr(error, 'strerror', None) or error}",
                got=f"--port {port}",
                expected="a port that no other program holds",
                fix="--port 0 takes any that is free",
            ) from error

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}/?token={self.token}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing where whoever asked has left before the answer; anything else as servers do."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: PlaygroundServer
    server_version, sys_version = "lossmith", ""

    def do_GET(self) -> None:
        """The page, what can be picked, and the transcript."""
        place = urlsplit(self.path)
        if place.path == "/":
            given = parse_qs(place.query).get("token", [""])[0]
            if self._let_in(given):
                html, policy = page_html()
                self._send(html.encode(), "text/html; charset=utf-8", policy=policy)
        elif self._let_in(self.headers.get(TOKEN_HEADER, "")):
            self._carry_out({"/offered": self._offered, "/transcript": self._transcript}.get(place.path))

    def do_POST(self) -> None:
        """Models picked, a question asked, a conversation begun anew."""
        if self._let_in(self.headers.get(TOKEN_HEADER, "")):
            routes = {"/pick": self._pick, "/ask": self._ask, "/new": self._new}
            work = routes.get(urlsplit(self.path).path)
            self._carry_out(None if work is None else lambda: work(self._body()))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: what is asked stays on the page, and the token out of every log."""

    def _let_in(self, token: str) -> bool:
        """Whether the request is of the page that was opened here; what is not is told so."""
        port = self.server.server_port
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            # A name that points here may be a page of somebody else's.
            self._fail(HTTPStatus.FORBIDDEN, f"this is {HOST} alone")
        elif not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self._fail(HTTPStatus.FORBIDDEN, "the token is missing or another one; open the address that was printed")
        else:
            return True
        return False

    def _carry_out(self, work: Callable[[], None] | None) -> None:
        if work is None:
            self._fail(HTTPStatus.NOT_FOUND, "there is nothing here")
            return
        try:
            work()
        except ConnectionError:
            # The page was closed, or the answer stopped: whoever would be told is gone.
            self.close_connection = True
        except LossmithError as error:
            self._fail(HTTPStatus.BAD_REQUEST, str(error))
        except Exception as error:
            # Left to itself the server would hang up without a word to the page.
            self._fail(HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__}: {error}")

    def _offered(self) -> None:
        self._json(self.server.table.offered())

    def _transcript(self) -> None:
        kind = parse_qs(urlsplit(self.path).query).get("kind", [".jsonl"])[0]
        with self.server.table.lock:
            text = transcript_text(kind, self.server.table.session(self._page).said)
        self._send(text.encode("utf-8", "backslashreplace"), "text/plain; charset=utf-8")

    def _pick(self, asked: dict[str, Any]) -> None:
        names = asked.get("models")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError("no models are named", got=repr(names)[:60], expected="a list of names")
        with self.server.table.lock:
            found = self.server.table.pick(names)
        self._json(found)

    def _new(self, _: dict[str, Any]) -> None:
        with self.server.table.lock:
            self.server.table.session(self._page).forget()
        self._json({})

    def _ask(self, asked: dict[str, Any]) -> None:
        """Lines of JSON: the pieces of each answer, and the whole of it."""
        begun = False

        def line(**told: Any) -> None:
            nonlocal begun
            if not begun:
                begun = True
                self._head(HTTPStatus.OK, "application/x-ndjson; charset=utf-8")
            self.wfile.write((json.dumps(told, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))
            self.wfile.flush()

        def tell(voice: Voice, piece: str, tokens: int) -> None:
            line(voice=voice.name, piece=piece, tokens=tokens)

        def end(reply: Mapping[str, Any]) -> None:
            line(voice=reply["voice"], reply=reply)

        with self.server.table.lock:
            try:
                self.server.table.ask(self._page, asked, tell=tell, end=end)
            except (ConnectionError, LossmithError):
                raise
            except Exception as error:
                if not begun:
                    raise
                line(error=f"{type(error).__name__}: {error}")

    @property
    def _page(self) -> str:
        """Which page asks."""
        return self.headers.get(PAGE_HEADER, "")[:64]

    def _body(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MOST_BYTES:
            raise InputError("the question is too long", got=f"{length} bytes", expected=f"at most {_MOST_BYTES}")
        try:
            found = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise InputError("the request is no JSON object", expected="what the page sends")
        return found

    def _json(self, told: dict[str, Any]) -> None:
        self._send(json.dumps(told, ensure_ascii=False).encode("utf-8", "backslashreplace"), "application/json")

    def _fail(self, status: HTTPStatus, told: str) -> None:
        self._send(json.dumps({"error": told}).encode(), "application/json", status=status)

    def _send(self, body: bytes, kind: str, *, status: HTTPStatus = HTTPStatus.OK, policy: str | None = None) -> None:
        self._head(status, kind, length=len(body), policy=policy)
        self.wfile.write(body)

    def _head(self, status: HTTPStatus, kind: str, *, length: int | None = None, policy: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Content-Security-Policy", policy or "default-src 'none'")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
