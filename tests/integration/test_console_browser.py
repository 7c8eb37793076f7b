"""The console in a real browser: it shows the ledger, text from outside never becomes markup, and axe is satisfied."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gwbatch.campaigns.folder import write
from gwbatch.campaigns.live import Live
from gwbatch.config.policy import load_policy
from gwbatch.config.profile import load_site
from gwbatch.effects.kinds import Label
from gwbatch.external import merge_notices, parse_notice
from gwbatch.ledger import Ledger, alert_switch, decisions, effects, in_force, jobs, leases, messages, offsets
from gwbatch.ledger.messages import Incoming
from gwbatch.mirror import public_notices
from gwbatch.mirror.externals import Coincidence, ExternalStore
from gwbatch.mirror.products import StoredProduct
from gwbatch.mirror.superevents import SupereventStore
from gwbatch.model import Action, Decision, JobState, JobStatus
from tests import alerts
from tests.campaign_products import sleepers
from tests.conftest import BROWSER
from tests.integration.consoles import get, running_console
from tests.notices import FERMI, fermi

pytestmark = pytest.mark.timeout(180)

GRACEDB = "https://gracedb.example.org/api/"
EVIL = "<img src=x onerror=\"document.title='pwned';window.pwned=1\"><script>window.pwned=1</script>\"'>&lt;"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63606060600000"
    "00050001a5f645400000000049454e44ae426082"
)


def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None and "GWBATCH_NEEDS_BROWSER" not in os.environ:
        pytest.skip(BROWSER)
    assert found is not None
    return found


def fill(state: Path) -> None:
    """Make a ledger in which every text from outside tries to inject markup."""
    from gwbatch.external import Match

    ledger, now = Ledger(state / "ledger.sqlite", create=True), time.time()
    picture = state / "bayestar.png"
    picture.write_bytes(PNG)
    with ledger.transaction() as tx:
        leases.acquire(tx, "dispatcher", now)
        mirror, externals = SupereventStore(tx), ExternalStore(tx)
        alert = Incoming("igwn-alert", EVIL, 0, 1, EVIL.encode(), now - 2)
        number = messages.receive(tx, alert, ["general", "superevent"], now - 1)
        data = alerts.event("G1", pipeline=EVIL, search=EVIL, labels=[EVIL])
        mirror.put_event(data, now)
        detail = {"event": "G1", "category": "production", "t_start": 1.0, "t_0": 2.0, "t_end": 3.0}
        decision = Decision("create", "S@G1", detail, EVIL)
        mirror.apply(decision, now)
        tx.execute("UPDATE superevents SET labels = ?, graceid = 'S1'", (json.dumps([EVIL]),))
        tx.execute(
            "INSERT INTO decisions (message_id, at, superevent, action, detail, reason) VALUES (?, ?, ?, ?, ?, ?)",
            (number, now, "S@G1", EVIL, json.dumps({EVIL: EVIL}), EVIL),
        )
        mirror.put_product(StoredProduct("S@G1", "bayestar.png", "0", str(picture), {}), now)
        mirror.put_product(StoredProduct("S@G1", "../../etc/passwd.png", "0", "/etc/passwd", {}), now)
        effects.request(tx, Label("S@G1", EVIL), now)
        evil = (EVIL, json.dumps({"target": EVIL}), EVIL, now)
        tx.execute("UPDATE effects SET state = 'dead', kind = ?, args = ?, error = ?, finished = ?", evil)
        jobs.plan(tx, "G1/localize", "localize", "openmp", "G1", {"inputs": {}, "evil": EVIL}, 1, now)
        job = jobs.get(tx, "G1/localize")
        assert job is not None
        jobs.submitted(tx, job, "local", EVIL, str(state / "job"), now)
        jobs.report(tx, job, JobStatus("G1/localize/1", JobState.HELD, reason=EVIL, host=EVIL), None, now)
        in_force.record(tx, load_policy(), load_site("local", [f"gracedb.url={GRACEDB}"]).profile, now)
        ordered = Decision(Action.CANCEL_JOB, None, {"job": "G1/localize", "attempt": 1}, EVIL)
        decisions.record(tx, ordered, now, None)
        for delivery in messages.next_deliveries(tx, "general", now):
            messages.mark_dead(tx, delivery.id, EVIL, EVIL, now)
        offsets.beat(tx, "gcn", 1, now, now, connected=False, last_message=None, note=EVIL)
        notice = parse_notice(FERMI, fermi())
        trigger = merge_notices([("0", notice)], load_policy().external)
        assert trigger is not None
        externals.put(notice.key, trigger, now)
        externals.set_labels(notice.key, [EVIL])
        match = Match("S@G1", notice.key, -2.0, (-5.0, 1.0), 1e-12, 3.0, float("inf"))
        externals.put_coincidences(notice.key, [Coincidence(match, True, False)])
        _notice(tx, now)
    (state / "job").mkdir()
    for name in ("stdout", "stderr"):
        (state / "job" / name).write_text(EVIL)
    ledger.close()


def plan_campaigns(folder: Path) -> None:
    """Make a running campaign whose texts try to inject markup, and one that cannot be read."""
    made, now = sleepers(folder / EVIL.replace("/", ""), [1.0] * 10), time.time()
    with sqlite3.connect(made.table) as table:
        table.execute("UPDATE events SET state = 'done', cpu = 1.5 WHERE id < 4")
        table.execute(
            "UPDATE events SET state = 'set aside', attempts = 3, name = ?, reason = ? WHERE id = 4", (EVIL, EVIL)
        )
        table.execute("INSERT INTO nodes (name, at_fault) VALUES (?, ?)", (EVIL, EVIL))
        table.execute("INSERT INTO rejected VALUES (?, ?)", (EVIL, EVIL))
    write(made.status, Live(now - 3600, now + 3600, 4, 1, 5, 2, 2, 0.97, 600.0, {"node7": 2}, rate=2.0))
    broken = sleepers(folder / "broken", [1.0])
    broken.table.write_bytes(b"nothing")


def _notice(tx: Any, now: float) -> None:
    """Add a public notice that is withheld because somebody stopped the alerts."""
    made = public_notices.plan(tx, "S@G1", "production", "preliminary", now - 9, EVIL, {"by": EVIL, "why": EVIL})
    assert made is not None
    decision = {"preferred": "G1", "labels": [EVIL], "missing": {EVIL: EVIL}, "unusable": {EVIL: EVIL}}
    record = {"time_created": EVIL, "event": {EVIL: EVIL}, "alert_type": EVIL}
    public_notices.freeze(tx, made.id, "frozen", EVIL, record, decision, now - 7)
    public_notices.put_send(tx, made.id, EVIL, EVIL, "json", 1, EVIL)
    public_notices.withhold(tx, made.id, EVIL, EVIL)
    alert_switch.stop(tx, EVIL, EVIL, now)


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    state = tmp_path_factory.mktemp("console")
    fill(state)
    plan_campaigns(state / "campaigns")
    with running_console(state, "open", "--campaigns", str(state / "campaigns")) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    opened = browser.new_page()
    opened.complaints = []
    opened.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.on("console", lambda message: opened.complaints.append(message.text) if message.type == "error" else None)
    yield opened
    opened.close()


PAGES = {
    "": "Latency by stage",
    "superevents": "Search",
    "superevent/S%40G1": "Timeline",
    "jobs": "G1/localize",
    "job/G1%2Flocalize": "stderr",
    "alerts": "ALERTS ARE STOPPED",
    "alert/1": "Latency",
    "messages": "Newest messages",
    "deadletters": "to retry",
    "campaigns": "unreadable",
    "deadletter/m1": "traceback",
}


@pytest.mark.parametrize("name", PAGES)
def test_nothing_from_outside_becomes_markup(console: str, page: Any, name: str) -> None:
    page.goto(f"{console}/#/{name}")
    page.get_by_text(PAGES[name]).first.wait_for()
    page.wait_for_timeout(300)
    assert page.evaluate("window.pwned") is None
    assert page.locator("img[src=x]").count() == 0
    assert page.locator("main script").count() == 0
    assert "onerror" in page.locator("main").inner_text(), "what came from outside is shown, as text"
    assert [text for text in page.complaints if "404" not in text] == []  # the fake picture is a 404


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(console: str, page: Any, name: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{console}/#/{name}")
    page.get_by_text(PAGES[name]).first.wait_for()
    assert axe(page) == []


def test_every_page_says_which_gracedb_it_is_about(console: str, page: Any) -> None:
    for name in ("", "jobs"):
        page.goto(f"{console}/#/{name}")
        page.locator("header").get_by_text("gracedb.example.org", exact=True).wait_for()
        assert page.title().endswith("gracedb.example.org – gwbatch")


def test_the_page_of_a_job_shows_who_ordered_what(console: str, page: Any) -> None:
    page.goto(f"{console}/#/job/G1%2Flocalize")
    page.get_by_text("Ordered so far").wait_for()
    cells = page.locator("section", has_text="Ordered so far").locator("tbody tr td").all_inner_texts()
    assert cells[1:] == ["Cancel", "1", EVIL]


def axe(page: Any) -> list[tuple[str, str]]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [(one["id"], one["nodes"][0]["html"][:200]) for one in found]


def test_from_the_overview_to_a_superevent_and_its_picture_by_keyboard(console: str, page: Any) -> None:
    page.goto(console)
    page.get_by_role("link", name="S1", exact=True).first.focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Timeline").wait_for()
    picture = page.get_by_alt_text("bayestar.png", exact=True)
    picture.wait_for()
    assert get(console + str(picture.get_attribute("src")))[2] == PNG
    assert page.get_by_text("gwbatch superevent annotate S1").count() == 1


def test_the_table_is_filtered_and_sorted(console: str, page: Any) -> None:
    page.goto(f"{console}/#/superevents")
    page.get_by_label("Search").fill("nothing like it")
    page.get_by_text("none", exact=True).wait_for()
    assert page.locator("tbody tr").count() == 0
    assert "words=nothing+like+it" in page.url, "what was asked for stands in the address"
    page.get_by_label("Search").fill("s1")
    page.locator("tbody tr").first.wait_for()
    page.get_by_label("Category").select_option("mdc")
    page.get_by_text("none", exact=True).wait_for()
    page.get_by_label("Category").select_option("production")
    page.locator("tbody tr").first.wait_for()
    page.get_by_role("button", name="preferred").click()
    assert page.locator("th[aria-sort=ascending]").count() == 1


def test_it_fits_a_phone(console: str, page: Any) -> None:
    page.set_viewport_size({"width": 360, "height": 700})
    for name, text in PAGES.items():
        page.goto(f"{console}/#/{name}")
        page.get_by_text(text).first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, name


def test_it_keeps_itself_current(console: str, page: Any) -> None:
    page.goto(console)
    page.get_by_text("Latency by stage").wait_for()
    page.evaluate("document.querySelector('main').firstChild.remove()")
    page.get_by_text("What is wrong right now").wait_for(timeout=10_000)


def test_a_search_and_its_page_can_be_given_to_somebody_else(console: str, page: Any) -> None:
    page.goto(f"{console}/#/jobs?words=g1&state=HELD")
    page.get_by_role("link", name="G1/localize").wait_for()
    assert page.get_by_label("Search").input_value() == "g1"
    assert page.get_by_label("State").input_value() == "HELD"
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    text = Path(download.value.path()).read_text()
    assert "G1/localize" in text
    with page.expect_download() as download:
        page.get_by_role("link", name="JSON").click()
    assert download.value.url.endswith("state=HELD&limit=1000")  # not the page's 50 rows
    assert json.loads(Path(download.value.path()).read_text())["rows"][0]["key"] == "G1/localize"
    page.goto(f"{console}/#/jobs?state=DONE")
    page.get_by_text("none", exact=True).wait_for()


@pytest.mark.parametrize(
    "name", ["superevent/S999999x", "job/G9%2Fnone", "alert/999", "deadletter/m999", "campaign/none"]
)
def test_what_does_not_exist_is_named(console: str, page: Any, name: str) -> None:
    page.goto(f"{console}/#/{name}")
    page.get_by_role("heading", name="Not found").wait_for()
    assert "There is no" in page.locator("main").inner_text()
    assert [text for text in page.complaints if "404" not in text] == []


def test_keys_lead_to_pages_and_to_the_search(console: str, page: Any) -> None:
    page.goto(console)
    page.get_by_text("What is wrong right now").wait_for()
    page.keyboard.press("4")
    page.get_by_role("link", name="G1/localize").wait_for()
    page.keyboard.press("/")
    page.keyboard.type("S1")
    page.wait_for_url("**words=S1*")
    page.get_by_role("link", name="G1/localize").wait_for()
    for _ in range(20):  # in one call, because the page may be redrawn between two calls
        assert page.evaluate("document.activeElement.id") == "filter", "one goes on typing"
        page.wait_for_timeout(25)
    assert page.get_by_label("Search").input_value() == "S1"


def test_an_answer_that_comes_late_takes_nobody_the_focus(console: str, page: Any) -> None:
    """A live update draws the page first. The late response to the user's own request must not interrupt typing."""
    page.goto(console)
    page.get_by_text("What is wrong right now").wait_for()
    held: list[Any] = []
    page.route("**/jobs.json*", lambda route: route.continue_() if held else held.append(route))
    page.keyboard.press("4")
    page.wait_for_timeout(200)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # as a live update does
    page.get_by_role("link", name="G1/localize").wait_for()
    page.keyboard.press("/")
    with page.expect_response("**/jobs.json*"):
        held[0].continue_()
    page.wait_for_timeout(200)
    assert page.evaluate("document.activeElement.id") == "filter"


def test_a_superevent_tells_its_story(console: str, page: Any) -> None:
    page.goto(f"{console}/#/superevent/S%40G1")
    page.get_by_role("heading", name="Timeline").wait_for()
    line = page.locator(".story .line", has_text="G1/localize")
    assert line.locator(".bar.waiting").count() == 1
    assert page.locator(".story .bar.awaited").count() >= 1
    assert page.get_by_text("1 per 31.7 years").count() >= 1
    page.get_by_text("Every step").click()
    page.get_by_role("region", name="Table: Steps").wait_for()
    page.wait_for_timeout(6_000)  # the page is redrawn meanwhile
    assert page.get_by_role("region", name="Table: Steps").is_visible(), "what was unfolded stays so"


def test_a_campaign_is_found_from_the_overview(console: str, page: Any) -> None:
    page.goto(console)
    tile = page.locator(".tile", has_text="Campaigns")
    tile.get_by_text("1 running").wait_for()
    assert "5 events left" in tile.inner_text()
    tile.get_by_role("link").click()
    row = page.locator("tbody tr", has_text="onerror")
    assert row.get_by_role("progressbar").get_attribute("value") == "5"
    for text in ("running", "50 %", "97 %", "10 min"):
        assert text in row.inner_text(), text
    assert "not a database" in page.locator("tbody tr", has_text="broken").inner_text()
    row.get_by_role("link").click()
    page.get_by_role("heading", name="Failures by reason").wait_for()
    assert "node7" in page.get_by_role("region", name="Table: Nodes").inner_text()
    page.get_by_text("1 events set aside").click()
    assert "onerror" in page.get_by_role("region", name="Table: Events set aside").inner_text()
    assert page.evaluate("window.pwned") is None
    assert axe(page) == []
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_no_campaign_but_those_that_the_site_names(console: str) -> None:
    from urllib.parse import urlencode

    for path in ("/", "/etc", "..", ""):
        assert get(f"{console}/campaign.json?{urlencode({'path': path})}")[0] == 404


def test_the_overview_is_one_screen(console: str, page: Any) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(console)
    page.locator(".card").first.wait_for()
    page.locator(".chart canvas").nth(1).wait_for()
    box_of = "part => document.querySelector(part).getBoundingClientRect().toJSON()"
    for part in (".banner", ".tiles"):
        assert page.evaluate(box_of, part)["bottom"] <= 800, part
    assert page.evaluate(box_of, ".cards")["top"] <= 650, "superevents are seen, however much is wrong"


def test_a_phone_shows_every_problem_in_full(console: str, page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(console)
    page.locator(".banner li").first.wait_for()
    shown, whole = page.evaluate(
        "(list => [list.clientHeight, list.scrollHeight])(document.querySelector('.banner ul'))"
    )
    assert shown == whole


def test_the_focus_stays_where_it_is_while_the_page_is_drawn_again(console: str, page: Any) -> None:
    page.goto(console)
    page.get_by_role("link", name="S1", exact=True).first.focus()
    page.evaluate("document.querySelector('.card').dataset.old = 'yes'")
    page.locator(".card[data-old]").wait_for(state="detached", timeout=15_000)
    assert page.evaluate("document.activeElement.textContent") == "S1"


def test_no_file_but_our_own_pictures(console: str) -> None:
    for subject, name in (("S@G1", "../../etc/passwd.png"), ("S@G1", "/etc/passwd"), ("..", "x.png"), ("", "")):
        from urllib.parse import urlencode

        status, _, body = get(f"{console}/picture.png?{urlencode({'subject': subject, 'name': name})}")
        assert status == 404
        assert b"root:" not in body


def test_a_stop_of_the_alerts_is_seen_on_every_page_and_a_notice_has_its_picture(console: str, page: Any) -> None:
    page.goto(f"{console}/#/jobs")
    page.get_by_role("status").get_by_text("ALERTS ARE STOPPED").wait_for()
    assert page.get_by_role("status").get_attribute("class") == "bad"
    page.goto(f"{console}/#/superevent/S%40G1")
    page.get_by_text("Latency of preliminary").click()
    page.get_by_role("img", name="Latency of preliminary: freeze 2.00 s").wait_for()
    page.get_by_role("link", name="S1/preliminary").click()
    page.get_by_text("gwbatch alerts release 1").wait_for()
