"""The pages as a browser lays them out and runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lossmith.report.evidence.record_page import write_evidence_page
from lossmith.report.inspect_page import write_inspection
from lossmith.report.page import write_report
from lossmith.report.palette import contrast

from .contract import evidence_of_run, explained, judged, write_judged
from .orchard import crates, write_classified
from .test_inspect_page import inspection
from .test_studies import ablated


@pytest.fixture(scope="module")
def pages(runs: list[Path], comparison: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    crate = crates(150, skill=0.8, failed=[5])
    classified = write_classified(folder / "crates", crate, metrics=["f1", "fpr_gap"], baselines=["always_positive"])
    retrieval = write_judged(folder / "retrieval", judged(60, skill=0.8), evidence_of_run())
    return {
        "retrieval": write_report([retrieval], folder / "retrieval.html"),
        "evidence": write_evidence_page(explained(), folder / "evidence.html"),
        "long": write_evidence_page(explained(208), folder / "long.html"),
        "single": write_report(runs[:1], folder / "single.html"),
        "several": write_report(runs, folder / "several.html", comparison=comparison),
        "classified": write_report([classified], folder / "classified.html"),
        "ablation": write_report([ablated(folder / "ablation", 0.05)], folder / "ablation.html"),
        "inspection": write_inspection(inspection(), folder / "inspection.html"),
    }


def opened(browser: Any, path: Path, **how: Any) -> tuple[Any, list[str]]:
    page = browser.new_page(**how)
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: told.append(request.url) if request.url != path.as_uri() else None)
    page.goto(path.as_uri())
    return page, told


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize(
    "name", ["single", "several", "classified", "ablation", "inspection", "retrieval", "evidence", "long"]
)
def test_no_error_no_request_no_overflow(browser: Any, pages: dict[str, Path], name: str, width: int) -> None:
    page, told = opened(browser, pages[name], viewport={"width": width, "height": 900})
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert told == []
    page.close()


def test_the_button_turns_the_theme_and_print_is_light(browser: Any, pages: dict[str, Path]) -> None:
    page, told = opened(browser, pages["single"], color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(21, 23, 26)"
    page.click("#theme")
    assert page.evaluate(ground) == "rgb(253, 253, 251)"
    page.click("#theme")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(ground) == "rgb(253, 253, 251)"
    assert told == []
    page.close()


def test_a_curve_tells_its_values_under_the_pointer(browser: Any, pages: dict[str, Path]) -> None:
    page, told = opened(browser, pages["several"])
    area = page.locator("[data-chart]").first
    area.hover()
    tip = page.locator("#tip")
    assert tip.is_visible() and "transport training: " in tip.inner_text() and "at step" in tip.inner_text()
    page.mouse.move(2, 2)
    assert tip.is_hidden() and told == []
    page.close()


def test_without_scripts_the_page_is_all_there(browser: Any, pages: dict[str, Path]) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(pages["several"].as_uri())
    box = page.locator("[data-chart] svg").first.bounding_box()
    assert box["width"] > 300 and box["height"] > 150
    assert page.locator("#theme").is_hidden() and page.locator("#tip").is_hidden()
    context.close()


def test_a_token_tells_its_terms_by_pointer_and_by_key(browser: Any, pages: dict[str, Path]) -> None:
    page, told = opened(browser, pages["inspection"])
    panel = page.locator("#token-panel")
    page.locator('[data-i="4"]').hover()
    assert "read by cross_entropy, sinkhorn" in panel.inner_text()
    page.locator("#tokens").focus()
    page.keyboard.press("ArrowRight")
    assert "token 5, id 105" in panel.inner_text()
    page.keyboard.press("Escape")
    assert panel.is_hidden() and told == []
    page.close()


def test_texts_of_records_are_unseen_until_they_are_opened_and_on_paper(browser: Any, pages: dict[str, Path]) -> None:
    page, told = opened(browser, pages["classified"])
    closed = page.locator("details.withheld")
    text = closed.first.locator("pre")
    assert closed.count() >= 2 and not text.is_visible()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.querySelectorAll('details.withheld[open]').length") == 0
    assert page.evaluate("document.querySelectorAll('details[open]').length") > 3
    closed.first.locator("summary").click()
    assert "from the slope behind the mill" in text.inner_text() and told == []
    page.close()


def test_a_band_is_told_with_its_curve(browser: Any, pages: dict[str, Path]) -> None:
    page, told = opened(browser, pages["retrieval"])
    area = page.locator("section[aria-labelledby=evidence] [data-chart]").first
    area.scroll_into_view_if_needed()
    area.hover()
    tip = page.locator("#tip")
    assert "the best evidence: 0.3273 (0.2773 to 0.3773) at chunks 3" in tip.inner_text() and told == []
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_evidence_tells_its_figures_by_pointer_by_key_and_by_tap(
    browser: Any, pages: dict[str, Path], scheme: str
) -> None:
    page, told = opened(browser, pages["evidence"], color_scheme=scheme, has_touch=True)
    tip, mark = page.locator("#tip"), page.locator('[data-e~="1"]')
    mark.first.hover()
    tip.wait_for(state="visible")
    assert "Evidence 1, chunk 3: importance +1.620" in tip.inner_text() and "query 3: weight" in tip.inner_text()
    assert page.locator('[data-rank="1"].current').count() == 1
    shared = page.locator('[data-e~="1"][data-e~="7"]').first
    shared.hover()
    assert "Evidence 1, chunk 3" in tip.inner_text() and "Evidence 7, chunk 4" in tip.inner_text()
    page.mouse.move(2, 2)
    assert tip.is_hidden() and page.locator(".current").count() == 0
    page.locator("#evidence-2").focus()
    assert tip.is_visible() and "Evidence 2, chunk 6: importance +0.940" in tip.inner_text()
    page.keyboard.press("Tab")
    assert "Evidence 6, chunk 7" in tip.inner_text()
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    mark.nth(1).tap()
    assert tip.is_visible() and told == []
    page.close()


def test_the_ranked_list_leads_to_its_place_in_a_long_document(browser: Any, pages: dict[str, Path]) -> None:
    page, told = opened(browser, pages["long"], viewport={"width": 1200, "height": 900})
    near = page.evaluate("document.documentElement.scrollHeight")
    page.locator("#near").uncheck()
    whole = page.evaluate("document.documentElement.scrollHeight")
    assert whole > 5 * near
    page.locator('[data-rank="2"] a').focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.id === 'evidence-2'")
    place = page.locator("#evidence-2").bounding_box()
    assert 0 < place["y"] < 900 and page.evaluate("scrollY") > 10_000
    page.wait_for_function("!document.getElementById('tip').hidden")
    assert "Evidence 2" in page.locator("#tip").inner_text()
    page.locator("#evidence-2").click()
    assert page.evaluate("location.hash") == "#rank-2" and told == []
    page.close()


def test_text_on_the_strongest_mark_can_be_read(browser: Any, pages: dict[str, Path]) -> None:
    for scheme in ("light", "dark"):
        page, _ = opened(browser, pages["evidence"], color_scheme=scheme)
        for kind in ("for", "opposed"):
            ink, mark, ground = page.evaluate(
                """kind => {
                  const paint = document.createElement("canvas").getContext("2d");
                  const rgba = colour => {
                    paint.clearRect(0, 0, 1, 1);
                    paint.fillStyle = colour;
                    paint.fillRect(0, 0, 1, 1);
                    return [...paint.getImageData(0, 0, 1, 1).data];
                  };
                  const held = getComputedStyle(document.querySelector(`.keys .ev.${kind}`));
                  return [held.color, held.backgroundColor, getComputedStyle(document.body).backgroundColor].map(rgba);
                }""",
                kind,
            )
            share = mark[3] / 255
            mixed = [round(share * one + (1 - share) * other) for one, other in zip(mark[:3], ground[:3], strict=True)]
            hexed = ["#" + "".join(f"{part:02x}" for part in colour[:3]) for colour in (ink, mixed)]
            assert 0.3 < share < 0.6 and contrast(*hexed) > 4.5, (scheme, kind)
        page.close()
