"""Recorded alerts per second that the superevent manager decides, compared with just decoding and encoding the JSON."""

from __future__ import annotations

import json
import random
import time

from gwbatch.config.policy import load_policy
from gwbatch.dispatcher.replay import replay

COMPLETE = ["PASTRO_READY", "EMBRIGHT_READY", "SKYMAP_READY"]


def stream(events: int) -> list[bytes]:
    """Return four alerts per event, with an event every ten seconds on average."""
    chance, lines, gps = random.Random(1), [], 1.0e9
    for number in range(events):
        gps += chance.expovariate(0.1)
        singles = [{"ifo": ifo, "snr": 6.0, "chisq": 1.0} for ifo in ("H1", "L1")]
        data = {
            "graceid": f"G{number}", "gpstime": gps, "far": 10 ** chance.uniform(-12, -3), "group": "CBC",
            "pipeline": "gstlal", "search": "AllSky", "instruments": "H1,L1", "offline": False, "superevent": None,
            "extra_attributes": {"CoincInspiral": {"snr": 9.0}, "SingleInspiral": singles},
        }  # fmt: skip
        for count, name in enumerate(["", *COMPLETE]):
            alert = {
                "alert_type": "label_added" if name else "new",
                "data": {"name": name},
                "object": {**data, "labels": COMPLETE[:count]},
            }
            lines.append(json.dumps({"topic": "cbc_gstlal", "payload": alert}).encode())
    return lines


def main() -> None:
    """Print a table."""
    print(f"{'alerts':>8} {'alerts/s':>10} {'json alone/s':>13} {'ratio':>6}")
    for events in (250, 2500, 10000):
        lines = stream(events)
        begin = time.perf_counter()
        for _ in replay(lines, load_policy()):
            pass
        ours = time.perf_counter() - begin
        begin = time.perf_counter()
        for line in lines:
            json.dumps(json.loads(line))
        floor = time.perf_counter() - begin
        print(f"{len(lines):8d} {len(lines) / ours:10.0f} {len(lines) / floor:13.0f} {ours / floor:6.1f}")


if __name__ == "__main__":
    main()
