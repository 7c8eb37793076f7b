"""Waiting and run times of jobs in a real ledger, as input for simulations."""

from __future__ import annotations

from collections import defaultdict

import msgspec

from gwbatch.ledger import Ledger
from gwbatch.simulation import query
from gwbatch.simulation.scenario import Scenario, Seconds

NEWEST = 5000  # jobs and effects to read, the latest first
FEWEST = 3  # measurements needed to replace a default
SOON = 300.0  # s; a longer wait means that the pool was full, and tells nothing about how soon an idle pool starts jobs


def calibrated(scenario: Scenario, ledger: Ledger) -> Scenario:
    """Return a scenario with the start, run and GraceDB request times of a ledger; others keep their values.

    Run times are also told apart by the detectors of a job's event, which decide how long a localization takes.  Start
    times are taken only from jobs that did not wait behind another whole-node job of ours, because the simulated
    pool has a queue of its own.
    """
    rows = ledger.read(query("measured_jobs"), {"limit": NEWEST})
    run: dict[str, list[float]] = defaultdict(list)
    starts: dict[bool, list[float]] = defaultdict(list)
    warm = [max(0.0, row["started"] - row["submitted"]) for row in rows if row["warm"]]
    busy = [(row["started"], row["finished"]) for row in rows if row["queue"] == "openmp" and not row["warm"]]
    for row in rows:
        took = row["finished"] - row["started"] + (scenario.pool.imports if row["warm"] else 0.0)
        for like_it in (row["kind"], f"{row['kind']} {row['detectors'] or ''}"):
            run[like_it].append(took)
        if row["warm"]:
            continue
        waited, is_whole = row["started"] - row["submitted"], row["queue"] == "openmp"
        held_up = is_whole and any(begin < row["started"] and end > row["submitted"] for begin, end in busy)
        if 0 <= waited <= SOON and not held_up:
            starts[is_whole].append(waited)
    effects = [row["took"] for row in ledger.read(query("measured_writes"), {"limit": NEWEST})]
    pool = msgspec.structs.replace(
        scenario.pool,
        start=_of(starts[True], scenario.pool.start),
        start_others=_of(starts[False], scenario.pool.start_others),
        start_warm=_of(warm, scenario.pool.start_warm),
        run=scenario.pool.run | {kind: Seconds(measured=times) for kind, times in run.items() if len(times) >= FEWEST},
    )
    return msgspec.structs.replace(scenario, pool=pool, effect=_of(effects, scenario.effect))


def _of(measured: list[float], otherwise: Seconds) -> Seconds:
    return Seconds(measured=measured) if len(measured) >= FEWEST else otherwise
