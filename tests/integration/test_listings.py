"""Paging and searching: every row once, in order, and the same rows from a look-up by name as from a scan."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gwbatch.console import lists
from gwbatch.ledger import Ledger
from gwbatch.reports import listings
from gwbatch.reports.listings import LISTINGS, Wanted
from tests.integration.test_console_orders import console as opened_console

SUPEREVENTS, MESSAGES = 60, 90


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path_factory.mktemp("full") / "ledger.sqlite", create=True)
    with ledger.transaction() as tx:
        for number in range(SUPEREVENTS):
            labels = json.dumps(["ADVNO"] if number % 7 == 0 else ["EM_READY"])
            tx.execute(
                "INSERT INTO superevents (key, graceid, category, t_start, t_0, t_end, preferred, labels, created, "
                "updated) VALUES (?, ?, ?, 1, 2, 3, ?, ?, ?, 0)",
                (f"S@G{number}", f"S2401{number:02d}a", "mdc" if number % 3 else "production", f"G{number}", labels,
                 number),
            )  # fmt: skip
            for graceid in (f"G{number}", f"G{1000 + number}"):
                tx.execute("INSERT INTO events VALUES (?, ?, 0, '{\"far\": 1e-9}', 0)", (graceid, f"S@G{number}"))
            for kind, subject in (("localize", f"G{number}"), ("plot-allsky", f"S@G{number}")):
                state = "FAILED" if number % 10 == 0 else "DONE"
                tx.execute(
                    "INSERT INTO jobs (key, kind, queue, subject, request, state, created, state_since) "
                    "VALUES (?, ?, 'openmp', ?, '{}', ?, ?, 0)",
                    (f"{subject}/{kind}", kind, subject, state, number // 5),  # several jobs share one time
                )
        for number in range(MESSAGES):
            topic = "cbc_gstlal" if number % 2 else "superevent"
            tx.execute(
                "INSERT INTO messages VALUES (?, 'igwn', ?, 0, 1, ?, '', x'7b7d', NULL, 1)", (number + 1, topic, number)
            )
            if number < SUPEREVENTS:
                tx.execute("INSERT INTO decisions VALUES (NULL, ?, 1, ?, 'create', '{}', '')",
                           (number + 1, f"S@G{number}"))  # fmt: skip
        tx.execute(
            "INSERT INTO deliveries (message_id, lane, state, reason, decided) "
            "SELECT id, 'general', 'dead', '=HYPERLINK(\"x\")', id / 4 FROM messages WHERE id <= 20"
        )
    yield ledger
    ledger.close()


def everything(ledger: Ledger, name: str, wanted: Wanted) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    while True:
        found = LISTINGS[name](ledger, wanted)
        assert len(found.rows) <= wanted.limit
        rows += found.rows
        if found.next is None:
            return rows
        wanted = replace(wanted, before=found.next)


SIZES = {"superevents": SUPEREVENTS, "jobs": 2 * SUPEREVENTS, "messages": MESSAGES, "deadletters": 20}


@pytest.mark.parametrize("limit", [1, 7, 1000])
@pytest.mark.parametrize("name", SIZES)
def test_pages_together_hold_every_row_once(full: Ledger, name: str, limit: int) -> None:
    rows = everything(full, name, Wanted(limit=limit))
    identity = "key" if name in ("superevents", "jobs") else "id"
    assert len(rows) == len({row[identity] for row in rows}) == SIZES[name]
    order = {"superevents": "id", "jobs": "created", "messages": "id", "deadletters": "at"}[name]
    assert [row[order] for row in rows] == sorted((row[order] for row in rows), reverse=True)


@pytest.mark.parametrize("few", [0, 3, 1000])
@pytest.mark.parametrize(
    ("name", "words", "expected"),
    [
        ("superevents", "S240107a", {"S@G7"}), ("superevents", "s240107", {"S@G7"}), ("superevents", "S@G7", {"S@G7"}),
        ("superevents", "G1007", {"S@G7"}), ("superevents", "S2401", {f"S@G{number}" for number in range(SUPEREVENTS)}),
        ("superevents", "nothing", set()), ("superevents", "S240107a' OR '1", set()), ("superevents", "%", set()),
        ("jobs", "G7/", {"G7/localize"}), ("jobs", "S240107a", {"G7/localize", "S@G7/plot-allsky"}),
        ("jobs", "g59", {"G59/localize"}), ("messages", "S240107", {8}), ("messages", "S@G7", {8}),
        ("messages", "G1007", {8}), ("messages", "cbc_", {number + 1 for number in range(MESSAGES) if number % 2}),
    ],
)  # fmt: skip
def test_a_search_finds_what_begins_like_this(
    full: Ledger, monkeypatch: pytest.MonkeyPatch, name: str, words: str, expected: set[Any], few: int
) -> None:
    """Few matches are looked up by name and many are found by a scan; both give the same rows."""
    monkeypatch.setattr(listings, "FEW", few)
    identity = "id" if name == "messages" else "key"
    rows = everything(full, name, Wanted(words=words, limit=7))
    assert {row[identity] for row in rows} == expected
    assert len(rows) == len(expected)


def test_filters_hold_together(full: Ledger) -> None:
    found = everything(full, "superevents", Wanted(category="production", label="ADVNO"))
    assert [row["key"] for row in found] == ["S@G42", "S@G21", "S@G0"]
    failed = everything(full, "jobs", Wanted(state="failed", kind="localize"))
    assert [row["key"] for row in failed] == [f"G{number}/localize" for number in (50, 40, 30, 20, 10, 0)]
    assert everything(full, "deadletters", Wanted(words="SUPEREVENT"))
    assert everything(full, "deadletters", Wanted(words="nobody knows")) == []


def test_nonsense_in_an_address_counts_as_not_asked() -> None:
    asked = {"limit": "-1", "before": "x" * 5000, "words": "  G1 ", "no_such": "1"}
    assert lists.wanted_of(asked) == Wanted(words="G1", before="x" * 200)
    assert lists.wanted_of({"limit": "999999999"}).limit == 1000
    assert lists.wanted_of({"limit": "0"}).limit == 1


@pytest.mark.parametrize("before", ["x", "-", "1e999-x", "9" * 60, "nan nan", "-1"])
@pytest.mark.parametrize("name", SIZES)
def test_a_cursor_that_nobody_gave_out_disturbs_nothing(full: Ledger, name: str, before: str) -> None:
    LISTINGS[name](full, Wanted(before=before))


def test_a_list_as_csv_has_every_row_and_no_formula(full: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MOST", 6)
    for name, length in SIZES.items():
        rows = list(csv.DictReader(io.StringIO(lists.as_csv(name, full, Wanted(limit=3)))))
        assert len(rows) == length
    dead = list(csv.DictReader(io.StringIO(lists.as_csv("deadletters", full, Wanted()))))
    assert dead[0]["reason"] == '\'=HYPERLINK("x")'


def test_the_console_serves_them(full: Ledger) -> None:
    assert full.path is not None
    client = opened_console(Path(full.path.parent), loopback="open")
    found = client.get("/jobs.json", params={"words": "S240107a", "limit": "1"}).json()
    assert (len(found["rows"]), bool(found["next"])) == (1, True)
    answer = client.get("/superevents.csv", params={"label": "ADVNO"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert len(answer.text.splitlines()) == 1 + len([number for number in range(SUPEREVENTS) if number % 7 == 0])
    (first, *_) = client.get("/deadletters.json").json()["rows"]
    assert first["command"].startswith(f"gwbatch deadletter retry {first['id']} --state")


def test_a_label_is_found_as_long_as_it_is_there(ledger: Ledger) -> None:
    def found(label: str) -> list[str]:
        return [row["key"] for row in listings.superevents(ledger, Wanted(label=label)).rows]

    row = "INSERT INTO superevents VALUES (1, 'S@G1', 'S1', 'test', 1, 2, 3, 'G1', '[\"DQV\", \"DQV\"]', '{}', 0, 0)"
    with ledger.transaction() as tx:
        tx.execute(row)
    assert (found("DQV"), found("ADVOK")) == (["S@G1"], [])
    with ledger.transaction() as tx:
        tx.execute("UPDATE superevents SET labels = '[\"ADVOK\"]'")
    assert (found("DQV"), found("ADVOK")) == ([], ["S@G1"])
    with ledger.transaction() as tx:
        tx.execute("DELETE FROM superevents")
    assert ledger.read("SELECT * FROM superevent_labels") == []
