"""The spool directory: files in, messages out, and bad ones kept with their reasons."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gwbatch.clock import SystemClock
from gwbatch.config.profile import ListenerSettings
from gwbatch.errors import ConfigError
from gwbatch.handlers import gcn, igwn_alert
from gwbatch.handlers.registry import Registry
from gwbatch.ledger import Ledger
from gwbatch.listeners.spool import SpoolListener
from tests import alerts
from tests.declared import declaring

VOEVENT = b"""<?xml version="1.0"?><voe:VOEvent xmlns:voe="http://www.ivoa.net/xml/VOEvent/v2.0" ivorn="ivo://x">
<What><Param name="Packet_Type" value="112"/></What></voe:VOEvent>"""
BOMB = b"""<?xml version="1.0"?><!DOCTYPE v [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><v><What><Param name="Packet_Type" value="&c;"/></What></v>"""


@pytest.fixture
def registry() -> Iterator[Registry]:
    with declaring() as scratch:
        igwn_alert.handler("cbc_gstlal", "superevent", queue="superevent")(lambda alert: None)
        gcn.handler("FERMI_GBM_GND_POS", queue="exttrig")(lambda payload: None)
        yield scratch


@pytest.fixture
def spool(ledger: Ledger, registry: Registry, tmp_path: Path) -> SpoolListener:
    settings = ListenerSettings(kind="spool", directory=str(tmp_path / "in"), max_bytes=100_000)
    return SpoolListener("spool", settings, ledger, registry, SystemClock())


def put(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / "in" / f".{name}").write_bytes(content)
    (tmp_path / "in" / f".{name}").rename(tmp_path / "in" / name)


def drain(spool: SpoolListener) -> None:
    while spool.step():
        pass


def found(ledger: Ledger) -> list[tuple[str, str, str]]:
    rows = ledger.read(
        "SELECT m.topic, d.lane, d.state FROM deliveries d JOIN messages m ON m.id = d.message_id ORDER BY d.id"
    )
    return [tuple(row) for row in rows]


def test_every_shape_of_a_message_finds_its_lane(spool: SpoolListener, ledger: Ledger, tmp_path: Path) -> None:
    alert = alerts.new(alerts.event())
    lines = [
        {"topic": "cbc_gstlal", "payload": alert},
        {"topic": "cbc_gstlal", "payload": json.dumps({**alert, "uid": "G2"})},
    ]
    put(tmp_path, "1.jsonl", b"\n".join(json.dumps(line).encode() for line in lines) + b"\n\n")
    put(tmp_path, "2.json", json.dumps({**alert, "uid": "G3"}).encode())
    put(tmp_path, "3.xml", VOEVENT)
    topic = "gcn.classic.voevent.FERMI_GBM_GND_POS"
    put(tmp_path, "4.json", json.dumps({"topic": topic, "payload_base64": base64.b64encode(VOEVENT).decode()}).encode())
    drain(spool)
    assert found(ledger) == [("cbc_gstlal", "superevent", "new")] * 3 + [(topic, "exttrig", "new")] * 2
    assert [row[0] for row in ledger.read("SELECT payload FROM messages WHERE topic = ?", (topic,))] == [VOEVENT] * 2
    assert sorted(path.name for path in (tmp_path / "in/done").iterdir()) == ["1.jsonl", "2.json", "3.xml", "4.json"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.json", b"{", "not JSON"),
        ("x.json", b"[1]", "a JSON list instead"),
        ("x.json", b"\xff\xfe", "not JSON"),
        ("x.json", b"[" * 50_000, "not JSON"),
        ("x.json", b'{"topic": "cbc_unheard", "payload": {}}', "no handler for the topic cbc_unheard"),
        ("x.json", b'{"topic": 3}', "the topic is not a string"),
        ("x.json", b'{"topic": "cbc_gstlal", "payload_base64": "?"}', "not base64"),
        ("x.json", b"{}", "neither a message with a topic nor"),
        ("x.json", b"7" * 100_001, "above the limit"),
        ("x.xml", b"<unclosed>", "not XML"),
        ("x.xml", VOEVENT.replace(b"112", b"99999"), "unknown Packet_Type '99999'"),
        ("x.xml", BOMB, "declares entities"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_a_dead_letter_and_the_next_file_flows(
    spool: SpoolListener, ledger: Ledger, tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    put(tmp_path, name, content)
    put(tmp_path, "z.json", json.dumps(alerts.new(alerts.event())).encode())
    drain(spool)
    assert [state for _, _, state in found(ledger)] == ["dead", "new"]
    assert reason in ledger.read("SELECT reason FROM deliveries WHERE state = 'dead'")[0]["reason"]
    assert (tmp_path / "in/refused" / name).read_bytes() == content, "kept whole"


def test_fifty_megabytes_are_refused_without_being_read_whole(
    spool: SpoolListener, ledger: Ledger, tmp_path: Path
) -> None:
    put(tmp_path, "a.json", b"[" + b"1," * 25_000_000 + b"1]")
    put(
        tmp_path,
        "b.jsonl",
        b'{"x": "' + b"y" * 50_000_000 + b'"}\n' + json.dumps({"topic": "cbc_gstlal", "payload": {}}).encode(),
    )
    drain(spool)
    assert [state for _, _, state in found(ledger)] == ["dead", "dead", "new"]
    assert ledger.read("SELECT max(length(payload)) AS n FROM messages")[0]["n"] < 10_000


def test_external_entities_are_not_followed(spool: SpoolListener, ledger: Ledger, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("112")
    document = (
        f'<!DOCTYPE v [<!ENTITY s SYSTEM "file://{secret}">]><v><What><Param name="Packet_Type">&s;</Param></What></v>'
    )
    put(tmp_path, "x.xml", document.encode())
    drain(spool)
    assert [state for _, _, state in found(ledger)] == ["dead"]


def test_files_still_being_written_are_left_alone(spool: SpoolListener, ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "in/.half.json").write_bytes(b"{")
    (tmp_path / "in/half.part").write_bytes(b"{")
    drain(spool)
    assert found(ledger) == []


def test_a_file_taken_before_a_crash_is_not_taken_twice(spool: SpoolListener, ledger: Ledger, tmp_path: Path) -> None:
    lines = [json.dumps({"topic": "cbc_gstlal", "payload": {"n": n}}).encode() for n in range(1200)]
    put(tmp_path, "1.jsonl", b"\n".join(lines))
    drain(spool)
    (tmp_path / "in/done/1.jsonl").rename(tmp_path / "in/1.jsonl")  # as if killed before the move
    drain(spool)
    assert len(found(ledger)) == 1200


def test_a_spool_without_a_directory_is_told(ledger: Ledger) -> None:
    with pytest.raises(ConfigError, match="directory"):
        SpoolListener("spool", ListenerSettings(kind="spool"), ledger, Registry(), SystemClock())
