"""The playground in a browser, and its server asked by others than its page."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from lossmith.errors import InputError
from lossmith.playground.server import TOKEN_HEADER, PlaygroundServer
from lossmith.playground.table import Table, found_runs

READY = "#ask:not([disabled])"


@pytest.fixture(scope="module")
def server(runs_of: Callable[[str], str]) -> Iterator[PlaygroundServer]:
    table = Table.of([runs_of(kind) for kind in ("pairs", "chat", "documents", "messages")], device="cpu")
    with PlaygroundServer(table) as serving:
        thread = Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


@pytest.fixture
def page(browser: Any, server: PlaygroundServer) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": 1200, "height": 900})
    told: list[str] = []
    opened.on("console", lambda message: told.append(message.text))
    opened.on("pageerror", lambda error: told.append(str(error)))
    opened.goto(server.url)
    opened.wait_for_selector("#models input")
    yield opened
    opened.close()
    # A refused request is told on the page, and by the browser in its console.
    assert [each for each in told if "status of 400" not in each] == []


def pick(page: Any, *names: str) -> None:
    for name in names:
        page.locator(f'#models input[value$="/{name}"]').check()
    page.wait_for_selector(READY)


def ask(page: Any, **fields: str) -> Any:
    for name, text in fields.items():
        page.locator(f'[data-field="{name}"]').fill(text)
    page.click("#ask")
    page.wait_for_selector(READY)
    return page.locator(".round").first


def test_runs_and_presets_stand_side_by_side(page: Any, tmp_path: Path) -> None:
    pick(page, "pairs", "chat")
    assert page.locator("[data-field]").count() == 1
    for preset in ("greedy", "sampling"):
        page.locator(f'#presets input[value="{preset}"]').check()
    page.get_by_text("Single settings").click()
    page.locator('[data-setting="max_new_tokens"]').fill("5")
    drawn = ask(page, herb="mint <b>& thyme</b>")
    heads = drawn.locator("h2").all_inner_texts()
    assert [head.rpartition("/")[2] for head in heads] == [
        "pairs (greedy)", "pairs (sampling)", "chat (greedy)", "chat (sampling)",
    ]  # fmt: skip
    boxes = [voice.bounding_box() for voice in drawn.locator(".voice").all()]
    assert boxes[0]["y"] == boxes[1]["y"] and boxes[0]["x"] < boxes[1]["x"]
    assert all(int(text.split()[0]) <= 5 for text in drawn.locator(".about").all_inner_texts())
    assert "<b>& thyme</b>" in drawn.locator(".asked").inner_text()
    with page.expect_download() as saved:
        page.click("#transcript-lines")
    saved.value.save_as(tmp_path / "said.jsonl")
    [said] = [json.loads(line) for line in (tmp_path / "said.jsonl").read_text().splitlines()]
    assert len(said["replies"]) == 4 and said["asked"] == {"herb": "mint <b>& thyme</b>"}


def test_each_page_has_a_conversation_of_its_own(page: Any, server: PlaygroundServer) -> None:
    pick(page, "messages")
    page.get_by_text("Single settings").click()
    page.locator('[data-setting="max_new_tokens"]').fill("3")
    page.locator('[data-setting="do_sample"]').select_option("yes")
    page.locator('[data-setting="temperature"]').fill(".5")
    ask(page, text="mint?")
    page.reload()
    page.wait_for_selector("#models input")
    assert page.locator(".round").count() == 0 and page.locator("#saving").is_hidden()
    pick(page, "messages")
    ask(page, text="basil?")
    first, second = list(server.table.sessions.values())[-2:]
    assert [one.asked["text"] for one in first.said] == ["mint?"]
    with page.expect_download() as saved:
        page.click("#transcript-lines")
    assert [json.loads(line)["asked"] for line in Path(saved.value.path()).read_text().splitlines()] == [
        one.asked for one in second.said
    ]


def test_an_answer_that_nobody_waits_for_ends(page: Any, server: PlaygroundServer) -> None:
    pick(page, "messages")
    page.get_by_text("Single settings").click()
    page.locator('#presets input[value="beams"]').check()
    page.locator('[data-setting="max_new_tokens"]').fill("9000")
    page.locator('[data-field="text"]').fill("mint?")
    page.keyboard.press("Control+Enter")
    page.get_by_text(re.compile(r"^\d+ tokens$")).wait_for()
    page.click("#stop")
    page.wait_for_selector(READY)
    assert "stopped" in page.locator(".about").first.inner_text()
    with server.table.lock:
        [reply] = list(server.table.sessions.values())[-1].said[-1].replies
    assert reply["stopped"] and reply["tokens"] < 9000


def test_a_refusal_is_told_and_the_page_goes_on(page: Any) -> None:
    pick(page, "pairs")
    page.locator('#presets input[value="greedy"]').check()
    page.get_by_text("Single settings").click()
    page.locator('[data-setting="temperature"]').fill("0.5")
    page.locator('[data-field="herb"]').fill("mint")
    page.click("#ask")
    page.wait_for_selector("#problem:not([hidden])")
    assert "nothing is sampled" in page.locator("#problem").inner_text()
    page.locator('[data-setting="temperature"]').fill("")
    page.locator('[data-setting="max_new_tokens"]').fill("4")
    assert ask(page, herb="mint").locator(".error").count() == 0
    assert page.locator("#problem").is_hidden()


def test_a_classifier_of_documents_shows_scores_and_evidence(page: Any) -> None:
    pick(page, "documents")
    assert page.locator("#writing").is_hidden()
    drawn = ask(page, use="Use mint fresh from the pot, number 3. Basil is dried over winter.")
    numbers = [float(text) for text in drawn.locator(".score .number").all_inner_texts()]
    assert len(numbers) == 2 and abs(sum(numbers) - 1) < 1e-3
    pieces = drawn.locator(".evidence li").all_inner_texts()
    assert any("Use mint fresh" in piece for piece in pieces)
    page.set_viewport_size({"width": 390, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def request(server: PlaygroundServer, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    sent = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, sent, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_others_are_not_let_in(server: PlaygroundServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    own = {TOKEN_HEADER: server.token}
    for path in ("/", "/?token=wrong", "/offered", "/transcript"):
        assert request(server, "GET", path)[0] == 403
    assert request(server, "POST", "/ask", {}, **{TOKEN_HEADER: "wrong"})[0] == 403
    assert request(server, "GET", "/offered", **own, Host="models.example")[0] == 403
    status, html = request(server, "GET", f"/?token={server.token}")
    assert status == 200 and server.token not in html
    for path in ("/etc/passwd", "/../config.yaml", "/page.js"):
        assert request(server, "GET", path, **own)[0] == 404


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "no JSON object"),
        ({"models": []}, "no model is picked"),
        ({"models": ["/etc"]}, "unknown model"),
        ({"models": [0]}, "no list of names"),
        ({"models": ["PAIRS"], "presets": ["/etc/presets.yaml"]}, "unknown generation preset"),
        ({"models": ["PAIRS"], "settings": {"custom_generate": "os:system"}}, "unknown setting"),
        ({"models": ["PAIRS"], "settings": {"max_new_tokens": "long"}}, "max_new_tokens"),
        ({"models": ["PAIRS"], "seed": -1}, "whole number"),
    ],
)
def test_requests_that_the_page_would_not_send_are_refused(server: PlaygroundServer, body: Any, says: str) -> None:
    if isinstance(body, dict) and body["models"] == ["PAIRS"]:
        body = {**body, "models": [server.table.names[0]]}
    status, told = request(server, "POST", "/ask", body, **{TOKEN_HEADER: server.token})
    assert status == 400 and says in json.loads(told)["error"]


def test_trained_runs_are_found(runs_of: Callable[[str], str], tmp_path: Path) -> None:
    run = Path(runs_of("pairs"))
    assert str(run) in found_runs(run.parent)
    with pytest.raises(InputError, match="no trained run"):
        found_runs(tmp_path)
