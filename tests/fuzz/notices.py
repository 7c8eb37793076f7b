"""A fuzzer for the notice parsers: ``python -m tests.fuzz.notices --minutes 10``.

The fuzzer mutates seeds (bytes flipped, cut, doubled or spliced, values replaced by awkward ones) and parses them.  Any
result but a `Notice` or `BadInput` is a defect, and so is a notice from which no file for GraceDB can be made.  Such
inputs are kept in ``tests/data/notices/found``.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
import sys
import time
import traceback
from pathlib import Path

from gwbatch.config.policy import load_policy
from gwbatch.demo.observatories import burst
from gwbatch.errors import BadInput
from gwbatch.external import merge_notices, parse_notice
from gwbatch.external.event_file import event_file
from gwbatch.external.skymap import model
from tests.notices import FERMI, GUANO, fermi, guano, voevent

DATA = Path(__file__).parents[1] / "data" / "notices"
RULES = load_policy().external
FOUND = DATA / "found"
AWKWARD = [
    b"NaN", b"-inf", b"1e999", b"-0", b"1e-320", b"0x10", b"", b"null", b"[]", b"{}", b"[[[[", b"true", b"\x00",
    b"\xff\xfe", b"9" * 400, b"2017-02-30T00:00:00", b"9999-12-31T23:59:59.999999", b"0001-01-01T00:00:00",
    b"2016-12-31T23:59:60", b"<!ENTITY a 'b'>", b"&amp;", b"]]>", b"../../x", b"\xc2\xa0", b"\xe2\x80\xae", b'"',
    b"'", b"361", b"-91", b"1.8e308",
]  # fmt: skip


def seeds() -> list[tuple[str, bytes]]:
    """Return topic and payload of valid notices."""
    import json

    found = [(FERMI, burst(1.0e9)), (GUANO, json.dumps(guano(ra=1.0, dec=2.0, ra_dec_error=0.1)).encode())]
    found += [("gcn.classic.voevent.FERMI_GBM_ALERT", fermi(110, Most_Likely_Index=4, Reliability=8))]
    found += [("gcn.classic.voevent.SNEWS", voevent("ivo://gcn/SNEWS#1", Packet_Type=149, TrigID=7, Retraction="true"))]
    found += [("gcn.classic.voevent.SVOM_ECLAIRS", voevent(
        "ivo://org.svom/fsc#1", Packet_Type=202,
        group="<Group name='Svom_Identifiers'><Param name='Burst_Id' value='sb24062001'/></Group>"))]  # fmt: skip
    found += [(path.stem, path.read_bytes()) for path in sorted(DATA.glob("*.json"))]
    return found


def mutate(payload: bytes, other: bytes, choice: random.Random) -> bytes:
    """Apply one to four random changes."""
    for _ in range(choice.randint(1, 4)):
        at, to = sorted(choice.randrange(len(payload) + 1) for _ in range(2))
        kind = choice.randrange(6)
        if kind == 0:
            payload = payload[:at] + bytes([choice.randrange(256)]) + payload[at + 1 :]
        elif kind == 1:
            payload = payload[:at] + payload[to:]
        elif kind == 2:
            payload = payload[:to] + payload[at:to] + payload[to:]
        elif kind == 3:
            payload = payload[:at] + other[choice.randrange(len(other)) :]
        elif kind == 4:
            payload = payload[:at] + choice.choice(AWKWARD) + payload[at:]
        else:  # replace a whole value
            values = list(re.finditer(rb"(?<=[\":>' ])[-+.\w]+(?=[\",<'}\]])", payload))
            if values:
                value = choice.choice(values)
                payload = payload[: value.start()] + choice.choice(AWKWARD) + payload[value.end() :]
    return payload


def check(topic: str, payload: bytes) -> bool:
    """Tell whether the payload is a notice; any exception raised here is a defect."""
    try:
        notice = parse_notice(topic, payload)
    except BadInput:
        return False
    merge_notices([("a", notice)], RULES)
    event_file(payload, notice)
    model(notice, RULES)
    return True


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--minutes", type=float, default=10.0)
    arguments.add_argument("--seed", type=int, default=None)
    wanted = arguments.parse_args()
    choice = random.Random(wanted.seed)
    known, tried, read, wrong = seeds(), 0, 0, set()
    end = time.monotonic() + 60 * wanted.minutes
    while time.monotonic() < end:
        topic, payload = choice.choice(known)
        payload = mutate(payload, choice.choice(known)[1], choice)
        if choice.random() < 0.05:
            topic = choice.choice([GUANO, "private.topic", FERMI])
        tried += 1
        try:
            read += check(topic, payload)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            if (place := (type(error).__name__, where.filename, where.lineno)) not in wrong:
                wrong.add(place)
                FOUND.mkdir(exist_ok=True)
                (FOUND / f"{topic}.{hashlib.sha256(payload).hexdigest()[:8]}").write_bytes(payload)
                print(f"{topic}: {type(error).__name__}: {error} at {where.filename}:{where.lineno}", flush=True)
    print(f"{tried} inputs, {read} of them notices, {len(wrong)} kinds of defects")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
