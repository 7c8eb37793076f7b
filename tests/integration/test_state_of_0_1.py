"""A state directory of version 0.1, stopped half-way with all kinds of work pending, which this version finishes.

Version 0.1 wrote ``tests/data/state-0.1``.  It holds the ledger, the sandbox's GraceDB, the job directories, and one
row for each form of effect that 0.1 wrote.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gwbatch.effects import KINDS, decode, encode
from gwbatch.errors import BadInput
from gwbatch.executors.registry import EXECUTORS, retry_dead
from tests.integration.harness import Harness, Server

DATA = Path(__file__).parents[1] / "data" / "state-0.1"
ROWS: list[dict[str, Any]] = json.loads((DATA / "effects.json").read_text())


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    import sqlite3

    def read(name: str) -> str:
        return gzip.decompress((DATA / name).read_bytes()).decode().replace("@STATE@", str(tmp_path))

    server = Server(tmp_path)
    tables = [row["name"] for row in server.store._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for name in tables:
        server.store._db.execute(f"DROP TABLE {name}")
    server.store._db.executescript(read("sandbox.sql.gz").replace("@SERVER@", server.url))
    (tmp_path / "state").mkdir()
    ledger = sqlite3.connect(tmp_path / "state" / "ledger.sqlite")
    ledger.executescript(read("ledger.sql.gz").replace("@SERVER@", server.url))
    (stopped,) = ledger.execute("SELECT max(at) FROM handled").fetchone()
    ledger.close()
    for name, content in json.loads(read("files.json.gz"))["files"].items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(base64.b64decode(content))
    yield Harness(tmp_path / "state", server, now=stopped + 60.0)  # before any of it is older than `keep_days`
    server.stop()


def test_what_0_1_left_half_done_is_finished_and_nothing_is_done_twice(harness: Harness) -> None:
    before = harness.ledger.read("SELECT digest, handler, at FROM handled ORDER BY 1, 2")
    assert {row["state"] for row in harness.ledger.read("SELECT state FROM effects")} >= {"dead", "done", "ready"}
    ours = {handler.name for handler in harness.registry.handlers()}
    assert {row["handler"] for row in before} <= ours, "content would be handled again"
    ticks = [row["topic"] for row in harness.ledger.read("SELECT topic FROM messages WHERE source = 'timer'")]
    assert ticks
    assert all(harness.registry.for_topic(topic) for topic in ticks), "a pending tick would be nobody's"
    harness.settle(60.0)
    after = {(row["digest"], row["handler"]): row["at"] for row in harness.ledger.read("SELECT * FROM handled")}
    for row in before:
        assert after[row["digest"], row["handler"]] == row["at"], "handled once more"
    assert harness.dead() == ["refused"]
    assert set(harness.states("effects").values()) == {"done", "dead"}
    assert set(harness.states("jobs").values()) == {"DONE"}
    (superevent,), (event,) = harness.superevents(), harness.externals()
    assert {"ADVREQ", "EM_READY", "SIGNIF_LOCKED", "EM_COINC", "RAVEN_ALERT"} <= set(superevent["labels"])
    assert set(event["labels"]) == {"EXT_SKYMAP_READY", "EM_COINC", "COMBINEDSKYMAP_READY", "RAVEN_ALERT"}
    assert superevent["em_type"] == event["graceid"]
    for name in (event["graceid"], *superevent["gw_events"]):
        contents = [
            (file.partition(",")[0], harness.server.store.file(name, *_versioned(file))) for file in harness.files(name)
        ]
        assert len(contents) == len(set(contents)), "the same content twice"


def _versioned(file: str) -> tuple[str, int]:
    name, _, version = file.partition(",")
    return name, int(version)


def test_a_dead_effect_of_0_1_is_retried(harness: Harness) -> None:
    harness.settle(60.0)
    with harness.ledger.transaction() as tx:
        tx.execute("UPDATE effects SET args = json_set(args, '$.target', 'G0001') WHERE state = 'dead'")
        assert retry_dead(tx) == 1
    harness.settle()
    assert set(harness.states("effects").values()) == {"done"}


def test_the_golden_rows_cover_every_kind_of_ours() -> None:
    assert {row["kind"] for row in ROWS} == {
        kind for kind, effect in KINDS.items() if effect.__module__ == "gwbatch.effects.kinds"
    }


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["key"])[:60])
def test_the_effects_of_0_1_are_read(row: dict[str, Any]) -> None:
    effect = decode(row["kind"], json.dumps(row["args"]), row["after"])
    assert type(effect) in EXECUTORS
    again = encode(effect)
    assert again.kind == row["kind"]
    assert decode(again.kind, again.args, again.after) == effect
    given = {name: value for name, value in row["args"].items() if value not in (None, "", [])}
    assert given.items() <= json.loads(again.args).items()


def _built(row: dict[str, Any]) -> Any:
    """Build the effect as today's handlers do, with the fields that 0.1 stored only in the key."""
    args, key = dict(row["args"]), row["key"]
    last = key.rpartition("/")[2]
    kind = row["kind"]
    if kind in ("gracedb.upload", "gracedb.copy", "gracedb.prefer_external"):
        args["version"] = last
    elif kind == "gracedb.log":
        args["name"] = key.removeprefix(f"{args['target']}/log/")
    elif kind == "gracedb.label" and last != args["label"]:
        args |= {"occasion": last, "in_order": row["subject"] == args["target"]}
    elif (kind == "gracedb.add_event" and last != args["event"]) or kind in (
        "gracedb.unlabel",
        "gracedb.remove_event",
        "gracedb.update_superevent",
        "gracedb.read_external",
    ):
        args["occasion"] = last
    elif kind == "gracedb.adopt_external":
        args["external"] = row["subject"]
    elif kind == "job.submit":
        args["job_priority"] = row["priority"]
    elif kind.startswith("job."):
        args["at"] = float(last)
    elif kind.startswith("notify."):
        args["occasion"] = key.split("/", 2)[2]
    return decode(kind, json.dumps(args), row["after"])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["key"])[:60])
def test_keys_subjects_and_priorities_are_those_of_0_1(row: dict[str, Any]) -> None:
    effect = encode(_built(row))
    assert (effect.key, effect.subject, effect.priority) == (row["key"], row["subject"], row["priority"])


def test_an_unknown_kind_is_bad_input() -> None:
    with pytest.raises(BadInput, match=r"unknown kind 'gracedb\.nothing'"):
        decode("gracedb.nothing", "{}")
    with pytest.raises(BadInput, match="Cannot read the arguments"):
        decode("gracedb.label", '{"target": 3}')
