"""The page in a real browser: by keyboard, on a phone, and with nothing from outside."""

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from audit_records import record
from browser import CHROMIUM, Browser

from obverse.audit.jobs import Progress
from obverse.audit.record import Record
from obverse.audit.server import ServeConfig, application
from obverse.media.video import VideoWriter
from obverse.provenance.home import HOME_VARIABLE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


class _Served:
    """The application behind a socket of its own."""

    def __init__(self, config: ServeConfig, made: Record) -> None:
        def examine(path: Path, tell: Progress) -> Record:
            tell(2, 5, "mark")
            time.sleep(0.3)
            return made

        settings = uvicorn.Config(application(config, examine), port=0, log_level="error")
        self.server = uvicorn.Server(settings)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.05)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/"

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join()


@pytest.fixture
def film(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    with VideoWriter(folder / "a film.mp4", 128, 96, 25) as writer:
        for level in range(100):
            writer.write(np.full((96, 128, 3), 60 + level, np.uint8))
    return folder / "a film.mp4"


@pytest.fixture
def served(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Served]:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    served = _Served(ServeConfig(clips=film.parent), record())
    yield served
    served.close()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with Browser(tmp_path / "profile") as browser:
        yield browser


def _text(browser: Browser, selector: str) -> Any:
    return browser.evaluate(f"document.querySelector({selector!r})?.innerText")


def test_an_upload_by_keyboard_shows_all_that_was_found(
    served: _Served, browser: Browser, film: Path
) -> None:
    browser.size(1200, 900)
    browser.open(served.url)
    assert browser.evaluate("document.getElementById('start').disabled")
    browser.give_file("#file", film)
    browser.until("!document.getElementById('start').disabled")
    for _ in range(8):  # skip link, file, list, button
        browser.press("Tab", 9)
        if browser.evaluate("document.activeElement.id") == "start":
            break
    assert browser.evaluate("document.activeElement.id") == "start"
    browser.press("Enter", 13, "\r")
    browser.until("!document.getElementById('result').hidden")
    assert browser.evaluate("document.activeElement.id") == "result"
    assert "Declared as made by AI or software" in _text(browser, ".verdict")
    found = _text(browser, "#result")
    for words in ("C2PA manifest", "Error rate: e1", "Absence proves nothing", "a film.mp4",
                  "00000000000000ff", "urn:c2pa:2", "Face 1"):  # fmt: skip
        assert words in found, words
    assert browser.evaluate("document.title").startswith("Declared as made by AI")

    browser.until("document.querySelector('video').readyState >= 1")
    box = browser.evaluate(
        "(() => { const b = document.querySelector('svg.timeline').getBoundingClientRect();"
        " window.scrollTo(0, b.top + scrollY - 100);"
        " const c = document.querySelector('svg.timeline').getBoundingClientRect();"
        " return [c.left, c.top, c.width, c.height] })()"
    )
    x, y = box[0] + box[2] * 0.5, box[1] + 30
    for kind in ("mousePressed", "mouseReleased"):
        browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
    browser.until("document.querySelector('video').currentTime > 1")
    # The line follows when the player has sought.
    browser.until("document.querySelector('.head').getAttribute('x1') > 400")
    head = float(browser.evaluate("document.querySelector('.head').getAttribute('x1')"))
    assert 400 < head < 560  # the middle of the drawing's 960

    links = browser.evaluate("[...document.querySelectorAll('.take a')].map(a => a.href)")
    statuses = browser.evaluate(f"Promise.all({links!r}.map(u => fetch(u).then(r => r.status)))")
    assert statuses == [200] * len(links)
    assert len(links) == 5
    assert browser.complaints() == []
    outside = [url for url in browser.requested() if not url.startswith((served.url, "blob:"))]
    assert [url for url in outside if not url.startswith(("data:", "about:"))] == []


def test_every_control_has_a_name_and_every_picture_words(
    served: _Served, browser: Browser
) -> None:
    browser.open(served.url + "?pick=a%20film.mp4")
    browser.until("!document.getElementById('result').hidden")
    nameless = browser.evaluate(
        "[...document.querySelectorAll('input, select, button, progress')].filter(each =>"
        " !(each.labels && each.labels.length) && !each.innerText"
        " && !each.getAttribute('aria-label') && !each.getAttribute('aria-labelledby'))"
        ".map(each => each.outerHTML)"
    )
    assert nameless == []
    assert browser.evaluate("[...document.images].every(each => each.alt)")
    levels = browser.evaluate(
        "[...document.querySelectorAll('h1, h2, h3')].map(each => Number(each.tagName[1]))"
    )
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert browser.evaluate("document.documentElement.lang") == "en"


def test_a_phone_needs_no_sideways_scrolling(served: _Served, browser: Browser) -> None:
    browser.size(360, 740, phone=True)
    browser.open(served.url + "?pick=a%20film.mp4")
    browser.until("!document.getElementById('result').hidden")
    wide = browser.evaluate(
        "[...document.querySelectorAll('body *')].filter(each => !each.closest('.scroll') &&"
        " each.getBoundingClientRect().right > 361).map(each => each.outerHTML.slice(0, 200))"
    )
    assert wide == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= 360
    small = browser.evaluate(
        "[...document.querySelectorAll('button, .take a')].filter("
        "each => each.getBoundingClientRect().height < 24).length"
    )
    assert small == 0


def test_a_refused_clip_says_why(served: _Served, browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "note.mp4").write_bytes(b"no film at all")
    browser.open(served.url)
    browser.give_file("#file", tmp_path / "note.mp4")
    browser.evaluate("document.getElementById('choose').requestSubmit()")
    browser.until("!document.getElementById('problem').hidden")
    assert "no film" in _text(browser, "#problem")
    assert not browser.evaluate("document.getElementById('start').disabled")


def test_a_strangers_text_stays_text(
    film: Path, tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    evil = "<img src=x onerror=window.owned=1>"
    made = record(
        reasons=[evil],
        history=[{"name": evil, "value": evil, "says": evil, "cannot": evil}],
        manifest=record().manifest | {"signer": evil, "failures": [evil]},
    )
    served = _Served(ServeConfig(clips=film.parent), made)
    try:
        browser.open(served.url + "?pick=a%20film.mp4")
        browser.until("!document.getElementById('result').hidden")
        assert browser.evaluate("window.owned") is None
        assert evil in _text(browser, ".verdict")
    finally:
        served.close()
