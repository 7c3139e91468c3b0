"""A hub on the loopback: the calls that huggingface_hub makes, answered from memory, with faults on demand."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_" + "loopback" * 5
READER = "hf_" + "readonly" * 5
LARGE = 2000
SIGNED = "X-Signature=not-for-logs"


@dataclass
class Repository:
    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=lambda: ["0" * 40])


@dataclass
class FakeHub:
    """What the hub holds and has been asked.

    `cut` ends the connection in the middle of these files, by their hash; `damaged` are paths that come back otherwise;
    `failing` is a path whose calls answer 503; `busy` counts the calls of a path that are yet to be answered by 429.
    """

    endpoint: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    cut: set[str] = field(default_factory=set)
    damaged: set[str] = field(default_factory=set)
    failing: str | None = None
    busy: dict[str, int] = field(default_factory=dict)

    def called(self, method: str, part: str) -> list[str]:
        return [path for verb, path in self.calls if verb == method and part in path]


def blob_of(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.route()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815  (names of http.server)

    def route(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.calls.append((self.command, path))
        self.hub.headers.append(str(self.headers))
        if self.hub.failing is not None and self.hub.failing in path:
            self.body()
            self.answer({"error": "down for a while"}, status=503)
            return
        for part in [part for part, left in self.hub.busy.items() if part in path and left]:
            self.hub.busy[part] -= 1
            self.body()
            self.answer({"error": "too many requests"}, status=429, headers={"Retry-After": "7"})
            return
        if path.startswith("/lfs/"):
            self.store(path.removeprefix("/lfs/"))
            return
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        body = self.body()
        if given not in (TOKEN, READER):
            self.answer({"error": "Invalid username or password."}, status=401)
        elif given == READER and self.command == "POST":
            self.answer({"error": "this token may read only"}, status=403)
        else:
            self.known(path, body)

    def known(self, path: str, body: bytes) -> None:
        if path == "/api/whoami-v2":
            self.answer({"name": "ann", "type": "user"})
        elif path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif path == "/api/repos/create":
            self.create(json.loads(body))
        elif path.endswith(".git/info/lfs/objects/batch"):
            self.batch(json.loads(body))
        elif path.startswith("/api/"):
            self.api(path.removeprefix("/api/"), body)
        else:
            self.resolve(path)

    def create(self, asked: dict) -> None:
        name = f"{asked.get('organization') or 'ann'}/{asked['name']}"
        key = f"{asked.get('type', 'model')}s/{name}"
        if key in self.hub.repositories:
            self.answer({"error": "You already created this repo", "url": "x"}, status=409)
            return
        private = bool(asked.get("private")) or asked.get("visibility") == "private"
        self.hub.repositories[key] = Repository(private, {".gitattributes": b"*.safetensors filter=lfs\n"})
        self.answer({"url": f"{self.hub.endpoint}/{name}", "name": name, "id": name})

    def batch(self, asked: dict) -> None:
        objects = []
        for one in asked["objects"]:
            told = {"oid": one["oid"], "size": one["size"]}
            if one["oid"] not in self.hub.blobs:
                told["actions"] = {"upload": {"href": f"{self.hub.endpoint}/lfs/{one['oid']}?{SIGNED}"}}
            objects.append(told)
        self.answer({"transfer": "basic", "objects": objects})

    def store(self, oid: str) -> None:
        if oid in self.hub.cut:
            self.rfile.read(200)
            self.close_connection = True
            self.connection.shutdown(2)
            return
        content = self.body()
        assert hashlib.sha256(content).hexdigest() == oid
        self.hub.blobs[oid] = content
        self.answer({})

    def api(self, path: str, body: bytes) -> None:
        kind, owner, name, *rest = path.split("/")
        repository = self.hub.repositories.get(f"{kind}/{owner}/{name}")
        if repository is None:
            self.answer({"error": "Repository not found"}, status=404, headers={"X-Error-Code": "RepoNotFound"})
        elif rest[:1] == ["preupload"]:
            asked = json.loads(body)["files"]
            self.answer({"files": [self.mode(one, repository) for one in asked]})
        elif rest[:1] == ["commit"]:
            self.commit(repository, f"{owner}/{name}", body)
        elif rest[:1] == ["tree"]:
            self.answer([{"type": "file", "path": n, **self.facts(c)} for n, c in repository.files.items()])
        else:
            siblings = [{"rfilename": n, **self.facts(c, blob="blobId")} for n, c in repository.files.items()]
            told = {"id": f"{owner}/{name}", "private": repository.private, "sha": repository.commits[-1]}
            self.answer({**told, "siblings": siblings, "tags": [], "downloads": 0, "likes": 0})

    def mode(self, one: dict, repository: Repository) -> dict:
        held = repository.files.get(one["path"])
        large = one["size"] > LARGE or one["path"].endswith(".safetensors")
        oid = None if held is None else hashlib.sha256(held).hexdigest() if large else blob_of(held)
        return {**one, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}

    def facts(self, content: bytes, *, blob: str = "oid") -> dict:
        large = {"lfs": {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}}
        if blob == "oid":
            large = {"lfs": {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}}
        is_large = hashlib.sha256(content).hexdigest() in self.hub.blobs
        return {"size": len(content), blob: blob_of(content), **(large if is_large else {})}

    def commit(self, repository: Repository, name: str, body: bytes) -> None:
        for line in body.decode().splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                repository.files[value["path"]] = self.hub.blobs[value["oid"]]
        repository.commits.append(hashlib.sha1(body).hexdigest())
        self.answer({"commitUrl": f"{self.hub.endpoint}/{name}/commit/x", "commitOid": repository.commits[-1]})

    def resolve(self, path: str) -> None:
        place, _, rest = path.strip("/").partition("/resolve/")
        key = place if place.startswith("datasets/") else f"models/{place}"
        revision, _, inside = rest.partition("/")
        repository = self.hub.repositories[key]
        content = repository.files[inside]
        large = hashlib.sha256(content).hexdigest() in self.hub.blobs
        etag = hashlib.sha256(content).hexdigest() if large else blob_of(content)
        if inside in self.hub.damaged:
            content = bytes([content[0] ^ 1]) + content[1:]
        commit = repository.commits[-1] if revision == "main" else revision
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": commit, "Accept-Ranges": "none"}
        self.send(content, headers={**headers, **({"X-Linked-Etag": f'"{etag}"'} if large else {})})

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def answer(self, value: object, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        if status >= 400 and isinstance(value, dict):
            headers = {"X-Error-Message": str(value["error"]), **(headers or {})}
        self.send(
            json.dumps(value).encode(), status=status, headers={"Content-Type": "application/json", **(headers or {})}
        )

    def send(self, content: bytes, *, status: int = 200, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextmanager
def serving() -> Iterator[FakeHub]:
    """A hub on a free port of the loopback, until the block ends."""
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
