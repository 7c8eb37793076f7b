"""Orders from the console: who may give one, what it does, and the dialogs in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from gwbatch.config.profile import ConsoleSettings
from gwbatch.console.access import OWN_TOKEN, access_of
from gwbatch.console.app import make_app
from gwbatch.console.orders import ORDERS
from gwbatch.ledger import Ledger, alert_switch, in_force
from tests.integration.alert_harness import FITS, AlertHarness
from tests.integration.consoles import running_console
from tests.integration.test_console_browser import browser, chromium, fill  # noqa: F401  fixtures

HEADERS = {"X-Gwbatch-Order": "1", "Content-Type": "application/json"}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "ledger.sqlite", create=True)
    yield opened
    opened.close()


def console(folder: Path, **settings: Any) -> TestClient:
    app = make_app(folder / "ledger.sqlite", access_of(ConsoleSettings(**settings), folder))
    return TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50000))


def entered(folder: Path) -> TestClient:
    client = console(folder)
    token = (folder / OWN_TOKEN).read_text().strip()
    client.post("/enter", data={"token": token})
    return client


def give(client: TestClient, headers: dict[str, str] = HEADERS, **fields: Any) -> Any:
    return client.post("/order.json", content=json.dumps(fields), headers=headers)


def messages(ledger: Ledger) -> list[dict[str, Any]]:
    rows = ledger.read("SELECT topic, payload FROM messages WHERE source = 'lane'")
    return [{"topic": row["topic"], **json.loads(row["payload"])} for row in rows]


def test_an_order_is_a_message_with_who_and_why(tmp_path: Path, ledger: Ledger) -> None:
    client = entered(tmp_path)
    assert client.get("/order.json").json() == {"may": True}
    answer = give(client, order="prefer", superevent="S@G1", event="G2", why="longer template")
    assert (answer.status_code, answer.json()) == (200, {"done": "Queued for the dispatcher."})
    (one,) = messages(ledger)
    assert (one["topic"], one["superevent"], one["event"]) == ("lane.order_prefer", "S@G1", "G2")
    assert one["why"] == "longer template"
    assert one["by"].endswith(" (console)")


def test_alerts_are_stopped_at_once(tmp_path: Path, ledger: Ledger) -> None:
    assert give(entered(tmp_path), order="stop-alerts", why="wrong calibration").status_code == 200
    off = alert_switch.stopped(ledger.connection)
    assert off is not None
    assert off["why"] == "wrong calibration"


def test_every_order_names_fields_of_its_message() -> None:
    for name, order in ORDERS.items():
        assert {*order.fields, *order.fixed} <= set(order.message.__struct_fields__), name


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json"},
        {"X-Gwbatch-Order": "1", "Content-Type": "text/plain"},
        {**HEADERS, "Origin": "https://evil.example.org"},
        {**HEADERS, "Origin": "null"},
    ],
)
def test_another_sites_page_orders_nothing(tmp_path: Path, ledger: Ledger, headers: dict[str, str]) -> None:
    answer = give(entered(tmp_path), headers, order="stop-alerts")
    assert answer.status_code == 403
    assert alert_switch.stopped(ledger.connection) is None


def test_without_a_token_nobody_orders_anything(tmp_path: Path, ledger: Ledger) -> None:
    assert give(console(tmp_path), order="stop-alerts").status_code == 401
    opened = console(tmp_path, loopback="open")
    assert opened.get("/order.json").json() == {"may": False}
    answer = give(opened, order="stop-alerts")
    assert answer.status_code == 403
    assert "without a token" in answer.json()["error"]
    assert alert_switch.stopped(ledger.connection) is None
    assert messages(ledger) == []


def test_behind_a_proxy_the_order_bears_its_users_name(tmp_path: Path, ledger: Ledger) -> None:
    client = console(tmp_path, user_header="X-Remote-User", proxies=["127.0.0.1"])
    give(client, {**HEADERS, "X-Remote-User": "albert.einstein"}, order="annotate", superevent="S@G1")
    assert messages(ledger)[0]["by"] == "albert.einstein (console)"


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "{}", '{"order": 1}', '{"order": "format"}', '{"order": "prefer"}', "\x00", "[" * 5000, "x" * 20000,
        '{"order": "prefer", "superevent": 1, "event": "G2"}', '{"order": "release-notice", "notice": "1"}',
        '{"order": "annotate", "superevent": "S1", "why": 1}',
    ],
)  # fmt: skip
def test_a_bad_order_is_refused_in_words(tmp_path: Path, ledger: Ledger, content: str) -> None:
    answer = entered(tmp_path).post("/order.json", content=content, headers=HEADERS)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]
    assert messages(ledger) == []


def test_an_order_without_a_ledger_says_so(tmp_path: Path) -> None:
    answer = give(entered(tmp_path), order="stop-alerts")
    assert answer.status_code == 503
    assert answer.json()["error"]


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ('{"bayestar.multiorder.fits": "Bilby.multiorder.fits"}', "Write NAME,VERSION"),
        ('{"bayestar.multiorder.fits": "../x,1"}', "Write NAME,VERSION"), ('{"coinc.xml": "coinc.xml,0"}', "Known:"),
        ("[]", "must be a JSON object"), ("{", "Expecting"),
    ],
)  # fmt: skip
def test_files_that_nobody_can_have_meant_are_refused(tmp_path: Path, ledger: Ledger, files: str, text: str) -> None:
    client = entered(tmp_path)
    answer = client.get("/preview.json", params={"superevent": "S@G1", "kind": "update", "files": files})
    assert answer.status_code in (400, 503)
    assert text in answer.json()["error"]


def test_a_preview_needs_a_token_too(tmp_path: Path, ledger: Ledger) -> None:
    assert console(tmp_path, loopback="open").get("/preview.json?superevent=S1&kind=update").status_code == 403
    answer = entered(tmp_path).get("/preview.json", params={"superevent": "S1", "kind": "update"})
    assert (answer.status_code, answer.json()["error"][:19]) == (503, "There is no superev")


def test_an_update_is_previewed_and_ordered(alerting: AlertHarness) -> None:
    """The notice that goes out is the one that the preview shows."""
    with alerting.ledger.transaction() as tx:
        in_force.record(tx, alerting.policy, alerting.profile, alerting.clock.now())
    alerting.upload()
    alerting.settle(5)
    alerting.server.client.write_log(
        alerting.sid, "better", filename="Bilby.multiorder.fits", filecontents=FITS, tag_name=["sky_loc", "public"]
    )
    alerting.settle(1)
    key = alerting.ledger.read("SELECT key FROM superevents")[0]["key"]
    client, chosen = entered(alerting.folder), {"bayestar.multiorder.fits": "Bilby.multiorder.fits,0"}
    asked = {"superevent": key, "kind": "update", "files": json.dumps(chosen)}
    shown = client.get("/preview.json", params=asked).json()
    assert shown["refused"] is None
    assert set(shown["brokers"]) == {"gcn", "scimma"}
    assert give(client, order="send-update", superevent=key, files=chosen, why="samples").status_code == 200
    alerting.settle(5)
    last = alerting.received()[-1].notice
    assert (last["alert_type"], last["urls"]["skymap"]) == ("UPDATE", shown["record"]["urls"]["skymap"])
    assert last["urls"]["skymap"].endswith("Bilby.multiorder.fits,0")
    assert not alerting.dead()


@pytest.mark.timeout(180)
def test_a_click_and_a_reason_send_a_withheld_notice(tmp_path: Path, browser: Any) -> None:  # noqa: F811
    from axe_playwright_python.sync_playwright import Axe

    fill(tmp_path)
    with running_console(tmp_path, "token") as address:
        token = (tmp_path / OWN_TOKEN).read_text().strip()
        page = browser.new_page()
        page.goto(f"{address}/#token={token}")
        page.get_by_text("What is wrong right now").wait_for(timeout=10_000)
        page.goto(f"{address}/#/alert/1")
        page.get_by_role("button", name="Release it").click()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Release it").click()
        page.get_by_role("dialog", name="Send preliminary after all?").wait_for()
        assert Axe().run(page).response["violations"] == []
        page.get_by_label("Reason (for").fill("it was right")
        with page.expect_response("**/order.json") as response:
            page.get_by_role("dialog").get_by_role("button", name="Release it").click()
        assert response.value.status == 200
        page.get_by_text("Queued for the dispatcher.").wait_for()
        page.get_by_role("button", name="Close").click()
        page.goto(f"{address}/#/superevent/S%40G1")
        page.get_by_role("link", name="Preview a notice, send an update, copy a map").click()
        page.get_by_label("Sky map (NAME,VERSION; empty for the newest)").fill("no version")
        page.get_by_role("button", name="Preview").click()
        page.get_by_text("Write NAME,VERSION").wait_for()
        assert Axe().run(page).response["violations"] == []
        page.close()
    ledger = Ledger(tmp_path / "ledger.sqlite")
    found = [one for one in messages(ledger) if one["topic"] == "lane.order_release_notice"]
    assert [(one["notice"], one["why"]) for one in found] == [(1, "it was right")]
    ledger.close()
