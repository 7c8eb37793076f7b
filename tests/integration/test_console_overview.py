"""The console's overview: its tiles agree with ``gwbatch check``, and open pages learn of changes without polling."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import CliRunner

from gwbatch.cli import cli
from gwbatch.console import live
from gwbatch.console.live import Live, overview
from gwbatch.ledger import Ledger, leases
from gwbatch.reports import checked
from gwbatch.reports.finding import Finding, Level
from tests.integration.test_console_browser import fill
from tests.integration.test_console_orders import entered, give

VENDOR = Path(live.__file__).parent / "static" / "vendor"
STATES = {"OK": "good", "WARNING": "warn", "CRITICAL": "bad", "UNKNOWN": "bad"}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    fill(tmp_path)
    return tmp_path


def tiles(state: Path) -> dict[str, dict[str, Any]]:
    ledger = Ledger(state / "ledger.sqlite")
    try:
        return {one["name"]: one for one in overview(ledger, time.time())["tiles"]}
    finally:
        ledger.close()


def test_a_tile_is_what_check_says(state: Path) -> None:
    said = CliRunner().invoke(cli, ["check", "--json", "--state", str(state)])
    levels = {one["key"]: one["level"] for one in json.loads(said.stdout)["findings"]}
    found = tiles(state)
    for name, key in (("Listener gcn", "listener gcn"), ("Dead letters", "dead letters"), ("Batch system", "job ")):
        worst = max((level for one, level in levels.items() if one.startswith(key)), key=lambda one: Level[one])
        assert found[name]["state"] == STATES[worst], name
        assert found[name]["wrong"]
    assert (found["Dispatcher"]["state"], found["Dispatcher"]["wrong"]) == ("good", "")
    assert found["Disk"]["state"] == ("good" if "disk" not in levels else found["Disk"]["state"])


def test_what_the_dispatcher_looked_at_is_told_with_its_age(state: Path) -> None:
    assert tiles(state)["GraceDB"]["state"] == "off"
    ledger, now = Ledger(state / "ledger.sqlite"), time.time()
    with ledger.transaction() as tx:
        checked.note(tx, "gracedb", [Finding(Level.OK, "gracedb", "it answered in 0.10 s")], now - 60)
        checked.note(tx, "credentials", [Finding(Level.WARNING, "credentials", "good for 2 days", "renew")], now)
        checked.note(tx, "pool", [Finding(Level.OK, "pool", "2 of 3 whole nodes are free")], now - 30)
        tx.execute("UPDATE leases SET acquired = ?", (now - 3600,))
    ledger.close()
    found = tiles(state)
    assert (found["GraceDB"]["state"], found["GraceDB"]["value"]) == ("good", "OK")
    assert found["GraceDB"]["detail"] == "it answered in 0.10 s; 60 s ago"
    assert (found["Credentials"]["state"], found["Credentials"]["wrong"]) == ("warn", "good for 2 days")
    assert found["Batch system"]["detail"].endswith("; 2 of 3 whole nodes are free, 30 s ago")


def test_without_a_dispatcher_nothing_that_it_looks_at_is_green(state: Path) -> None:
    ledger = Ledger(state / "ledger.sqlite")
    with ledger.transaction() as tx:
        checked.note(tx, "gracedb", [Finding(Level.OK, "gracedb", "it answered")], time.time())
        checked.note(tx, "pool", [Finding(Level.OK, "pool", "2 of 3 whole nodes are free")], time.time())
        tx.execute("UPDATE leases SET released = 1")
    ledger.close()
    found = tiles(state)
    assert (found["Dispatcher"]["state"], found["GraceDB"]["state"]) == ("bad", "off")
    assert "whole nodes" not in found["Batch system"]["detail"]


def test_a_card_holds_what_astronomers_ask_first(state: Path) -> None:
    (state / "p_astro.json").write_text('{"BNS": 0.9, "Terrestrial": 0.1}')
    ledger = Ledger(state / "ledger.sqlite")
    with ledger.transaction() as tx:
        tx.execute("INSERT OR REPLACE INTO products VALUES ('S@G1', 'p_astro.json', '0', ?, '{}', 1)",
                   (str(state / "p_astro.json"),))  # fmt: skip
    (card,) = overview(ledger, time.time())["cards"]
    ledger.close()
    assert (card["superevent_id"], card["far"], card["snr"], card["instruments"]) == ("S1", 1e-9, 10.0, ["H1", "L1"])
    assert card["classification"] == {"BNS": 0.9, "Terrestrial": 0.1}
    assert card["picture"] == "bayestar.png"
    assert [one["name"] for one in card["notices"]] == ["preliminary"]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"BNS": "x"}', "\x00", "[" * 9999])
def test_a_classification_that_cannot_be_read_disturbs_nothing(state: Path, content: str) -> None:
    (state / "p_astro.json").write_text(content)
    ledger = Ledger(state / "ledger.sqlite")
    with ledger.transaction() as tx:
        tx.execute("INSERT OR REPLACE INTO products VALUES ('S@G1', 'p_astro.json', '0', ?, '{}', 1)",
                   (str(state / "p_astro.json"),))  # fmt: skip
    assert overview(ledger, time.time())["cards"][0]["classification"] is None
    ledger.close()


def test_pages_are_told_of_a_change_and_the_ledger_is_read_once_for_all(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[float] = []
    real = live.overview

    def counted(ledger: Ledger, now: float, campaigns: Sequence[dict[str, Any]]) -> dict[str, Any]:
        reads.append(now)
        return real(ledger, now, campaigns)

    monkeypatch.setattr(live, "overview", counted)
    monkeypatch.setattr(live, "AT_LEAST", 3600.0)
    monkeypatch.setattr(live, "LOOK", 0.02)
    told: list[list[tuple[int, str]]] = [[] for _ in range(5)]

    async def page(current: Live, seen: list[tuple[int, str]]) -> None:
        async for number, text in current.changes():
            seen.append((number, text))

    async def watch() -> None:
        current = Live(state / "ledger.sqlite")
        async with anyio.create_task_group() as group:
            for seen in told:
                group.start_soon(page, current, seen)
            with anyio.fail_after(20):
                while not all(told):
                    await anyio.sleep(0.02)
            await anyio.sleep(0.3)
            ledger = Ledger(state / "ledger.sqlite")
            with ledger.transaction() as tx:
                leases.acquire(tx, "another", time.time())
            ledger.close()
            with anyio.fail_after(20):
                while not all(len(seen) == 2 for seen in told):
                    await anyio.sleep(0.02)
            await anyio.sleep(0.3)
            group.cancel_scope.cancel()

    anyio.run(watch)
    assert len(reads) == 2, "once for what is there, once for the change, however many pages are open"
    assert all([number for number, _ in seen] == [1, 2] for seen in told)


def test_a_ledger_that_comes_and_goes_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK", 0.02)
    told: list[Any] = []

    async def watch() -> None:
        with anyio.move_on_after(20):
            async for _, text in Live(tmp_path / "state" / "ledger.sqlite").changes():
                told.append(json.loads(text))
                if len(told) == 1:
                    Ledger(tmp_path / "state" / "ledger.sqlite", create=True).close()
                elif len(told) == 2:
                    shutil.rmtree(tmp_path / "state")
                else:
                    return

    anyio.run(watch)
    assert [told[0], told[2]] == [None, None]
    assert told[1]["dispatcher"] == {"running": False}


# ---- repairs with a click --------------------------------------------------------------------------------------


def test_a_held_job_is_released_and_it_is_written_down_who_did(state: Path) -> None:
    client = entered(state)
    assert client.get("/job.json", params={"key": "G1/localize"}).json()["orders"] == ["release", "cancel"]
    refused = give(client, order="retry-job", job="G1/localize", why="")
    assert refused.status_code == 400
    assert "it is HELD, but must be" in refused.json()["error"]
    assert give(client, order="release-job", job="G1/localize", why="quota raised").status_code == 200
    ledger = Ledger(state / "ledger.sqlite")
    (row,) = ledger.read("SELECT * FROM decisions WHERE action = 'job_release'")
    assert json.loads(row["detail"])["job"] == "G1/localize"
    assert row["reason"].endswith("(console) (quota raised)")
    assert [one["kind"] for one in effects_of(ledger)] == ["job.release"]
    _, order = client.get("/job.json", params={"key": "G1/localize"}).json()["ordered"]
    assert (order["what"], order["attempt"], order["reason"]) == ("release", 1, row["reason"])
    ledger.close()


def test_a_dead_letter_is_handed_over_again(state: Path) -> None:
    client = entered(state)
    (letter,) = [row["id"] for row in client.get("/deadletters.json").json()["rows"] if row["id"].startswith("m")]
    assert give(client, order="retry-dead-letter", letter=letter, why="mended").status_code == 200
    assert [row["id"] for row in client.get("/deadletters.json").json()["rows"] if row["id"].startswith("m")] == []
    for wrong in (letter, "m999", "x", "", 5):
        assert give(client, order="retry-dead-letter", letter=wrong, why="").status_code == 400


def effects_of(ledger: Ledger) -> list[Any]:
    return list(ledger.read("SELECT kind FROM effects WHERE state = 'ready'"))


# ---- third-party files -----------------------------------------------------------------------------------------


def test_vendored_files_are_what_their_table_says() -> None:
    table = dict(re.findall(r"\| `([^`]+)` \|.*\| `([0-9a-f]{64})` \|", (VENDOR / "README.md").read_text()))
    assert set(table) == {path.name for path in VENDOR.glob("*.min.*")}
    for name, digest in table.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest
    assert all("MIT" in (VENDOR / f"{name}.LICENSE").read_text() for name in ("pico", "uplot"))


def test_no_page_asks_another_host() -> None:
    for path in VENDOR.parent.glob("*.*"):
        assert not re.search(r"(src|href|url|import)[^\n]{0,12}https?://", path.read_text()), path
    for path in VENDOR.glob("*.css"):
        assert not re.search(r"(url\((?!['\"]?data:)|@import)", path.read_text()), path
