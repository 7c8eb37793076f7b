"""``gwbatch simulate --recorded``: what a dispatcher received, again, beside what really happened."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gwbatch.cli import cli
from gwbatch.config.policy import Policy, load_policy
from gwbatch.config.profile import load_site
from gwbatch.gpstime import unix_to_utc
from gwbatch.ledger import Ledger, messages
from gwbatch.ledger.messages import Incoming
from gwbatch.sandbox.event_files import read_event_file
from gwbatch.simulation.measured import calibrated
from gwbatch.simulation.outcome import outcome_of, recorded_outcome, simulate
from gwbatch.simulation.recorded import event_file, read_recording
from gwbatch.simulation.scenario import Pool, Scenario, Seconds, Stream
from gwbatch.simulation.world import World
from gwbatch.superevents.candidate import parse_event
from tests.integration.test_event_products import CWB
from tests.integration.test_simulate import BEGIN, COMPLETE, SETTINGS

POOL = Pool(nodes=1, start=Seconds(9.0), run={"localize": Seconds(40.0)})
DAY = Scenario(
    duration=4000.0, pool=POOL,
    streams={
        "bright": Stream(at=[10.0, 2000.0], pipelines=["gstlal", "pycbc"], burst=True),
        "heavy": Stream(at=[1000.0], pipelines=["MBTA"], event="nsbh_hl", far=[3e-8]),
    },
)  # fmt: skip


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    path = tmp_path_factory.mktemp("policy") / "complete.toml"
    path.write_text(COMPLETE)
    return load_policy(path)


def live(folder: Path, policy: Policy, scenario: Scenario, begin: float = BEGIN, arrivals: Any = ()) -> World:
    world = World(scenario, policy, load_site("local", SETTINGS).profile, folder, begin, arrivals)
    world.run()
    return world


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory, policy: Policy) -> Path:
    """A ledger in which a day was recorded."""
    world = live(tmp_path_factory.mktemp("day") / "lived", policy, DAY)
    world.ledger.close()
    return world.folder / "ledger.sqlite"


def events(ledger: Ledger) -> list[tuple[Any, ...]]:
    found = (parse_event(json.loads(row["data"])) for row in ledger.read("SELECT data FROM events"))
    return sorted(
        (e.gpstime, e.pipeline, e.group, e.search, e.far, e.snr, tuple(sorted(e.ranking_instruments))) for e in found
    )


def superevents(ledger: Ledger) -> list[tuple[Any, ...]]:
    rows = ledger.read("SELECT t_start, t_0, t_end, category, preferred FROM superevents ORDER BY t_0")
    return [tuple(row) for row in rows]


def notices(ledger: Ledger) -> list[str]:
    return [row["kind"] for row in ledger.read("SELECT kind FROM public_notices ORDER BY id")]


def test_the_same_events_lead_to_the_same_decisions(tmp_path: Path, policy: Policy, day: Path) -> None:
    with_past = Ledger(day)
    recording = read_recording(with_past)
    assert (len(recording.arrivals), recording.left_out) == (7, {})
    world = live(tmp_path / "again", policy, DAY, recording.begin, recording.arrivals)
    assert events(world.ledger) == events(with_past)
    assert superevents(world.ledger) == superevents(with_past)
    assert notices(world.ledger) == notices(with_past) != []
    assert len(world.ledger.read("SELECT 1 FROM coincidences")) == 2
    real, again = recorded_outcome(with_past, recording, []), outcome_of(world)
    world.ledger.close()
    assert (real.superevents, real.events, real.notices, real.dead) == (3, 5, again.notices, 0)
    assert real.decision_to_map["p50"] == pytest.approx(again.decision_to_map["p50"], rel=0.05)
    assert real.node_hours == pytest.approx(again.node_hours, rel=0.05)
    assert real.longest_queue == again.longest_queue > 0
    assert real.milestones["finished"]["count"] == 3
    with_past.close()


def test_an_event_counts_with_all_that_follows_although_the_period_ends_before(day: Path) -> None:
    """The first event arrives after 18 s, and its map is made, its notice frozen and its pilot job done later."""
    ledger = Ledger(day)
    begin = read_recording(ledger).begin
    first = read_recording(ledger, begin, begin + 12.0)
    assert len(first.graceids) == 2
    real = recorded_outcome(ledger, first, [])
    assert (real.superevents, real.decision_to_map["count"], real.notices) == (1, 2, 2)
    assert real.milestones["finished"]["p50"] > 12.0
    between = read_recording(ledger, begin + 60.0, begin + 1500.0)  # what follows from the first event is not counted
    assert (len(between.graceids), recorded_outcome(ledger, between, []).superevents) == (1, 1)
    ledger.close()


def told(*words: Any) -> Any:
    return CliRunner().invoke(cli, ["simulate", *map(str, words)])


def test_the_command_shows_what_happened_beside_the_simulation(tmp_path: Path, day: Path) -> None:
    (tmp_path / "complete.toml").write_text(COMPLETE)
    picture = tmp_path / "queues.png"
    words = ["--recorded", day, "--like", day, "--policy", tmp_path / "complete.toml"]
    done = told(*words, "--json", "--picture", picture)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["recorded"]["superevents"] == found["simulations"]["policy"]["superevents"] == 3
    assert picture.read_bytes().startswith(b"\x89PNG")
    middle = [unix_to_utc(BEGIN + seconds).strftime("%Y-%m-%dT%H:%M:%S") for seconds in (900.0, 1900.0)]
    assert found["left_out"] == {}
    table = told(*words, "--since", middle[0], "--until", middle[1])
    assert table.exit_code == 0, table.output
    cells = {line.split("│")[1].strip(): line.split("│")[2:4] for line in table.stdout.splitlines() if "│" in line}
    assert [cell.strip() for cell in cells["superevents"]] == ["1", "1"]


def test_what_cannot_be_simulated_is_left_out_and_counted(tmp_path: Path, day: Path) -> None:
    copy = tmp_path / "ledger.sqlite"
    copy.write_bytes(day.read_bytes())
    ledger = Ledger(copy)
    row = ledger.read("SELECT payload FROM messages WHERE topic = 'cbc_mbta' LIMIT 1")[0]
    alert = json.loads(row["payload"])
    strange = {**alert["object"], "graceid": "G9", "pipeline": "newsearch"}
    early = {**alert["object"], "graceid": "G8", "gpstime": None}
    for number, one in enumerate((strange, early)):
        payload = json.dumps({**alert, "uid": one["graceid"], "object": one, "data": one}).encode()
        with ledger.transaction() as tx:
            messages.receive(tx, Incoming("igwn-alert", "cbc_other", 0, number, payload), ["superevent"], BEGIN)
    recording = read_recording(ledger)
    assert len(recording.arrivals) == 7
    assert sorted(recording.left_out.values()) == [1, 1]
    assert any("does not know the pipeline newsearch" in reason for reason in recording.left_out)
    ledger.close()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--since", "2026-01-01"], "need --recorded"),
        (["--recorded", "LEDGER", "--since", "yesterday"], "cannot be read; write 2026-12-03T04:00"),
        (["--recorded", "LEDGER", "--until", "2001-01-01"], "holds no event and no notice"),
    ],
)
def test_an_impossible_period_is_refused(day: Path, words: list[str], message: str) -> None:
    done = told(*(str(day) if word == "LEDGER" else word for word in words))
    assert done.exit_code != 0
    assert message in done.output + str(done.exception)


def test_files_of_bursts_say_what_gracedb_read() -> None:
    """The sandbox reads the same numbers again from the file that the numbers were written to."""
    cwb = read_event_file("CWB", CWB.format(far="2e-9").encode())
    again = read_event_file("CWB", event_file(cwb))
    assert again == cwb
    mly = read_event_file("MLy", json.dumps({"gpstime": 1e9, "far": 1e-7, "ifos": "H1,L1", "SNR": 9.5}).encode())
    assert read_event_file("MLy", event_file(mly)) == mly


@pytest.mark.parametrize(
    ("recorded", "half", "pool", "counts"),
    [
        ("recorded-htcondor", 870.0, Pool(nodes=1), (11, 22)),
        ("recorded-slurm", 790.0, Pool(nodes=2, slots=0), (17, 31)),
    ],
)
def test_half_of_a_real_pools_day_is_predicted_from_the_other_half_within_a_fifth(
    tmp_path: Path, recorded: str, half: float, pool: Pool, counts: tuple[int, int]
) -> None:
    """Half an hour on a real pool with real BAYESTAR, recorded by ``benchmarks/simulation.py``.

    Simulations of the second half know what was received, and how long jobs of the first half took to start and run.
    The second half begins `half` seconds after the first job, when nothing was queued.
    """
    with gzip.open(Path(__file__).parents[1] / "data" / f"{recorded}.sqlite.gz") as packed:
        for name in ("all.sqlite", "first.sqlite"):
            packed.seek(0)
            (tmp_path / name).write_bytes(packed.read())
    whole, first = (Ledger(tmp_path / name, create=True) for name in ("all.sqlite", "first.sqlite"))
    middle = whole.read("SELECT min(created) AS at FROM jobs")[0]["at"] + half
    with first.transaction() as tx:
        tx.execute("DELETE FROM jobs WHERE created > ?", (middle,))
        tx.execute("DELETE FROM effects WHERE created > ?", (middle,))
    recording = read_recording(whole, middle)
    real = recorded_outcome(whole, recording, [])
    assert (real.superevents, real.events, real.decision_to_map["count"]) == (*counts, counts[1])
    wanted = calibrated(Scenario(duration=recording.end - recording.begin, pool=pool), first)
    profile = load_site("local", SETTINGS).profile
    outcomes = [
        simulate(msgspec.structs.replace(wanted, seed=seed), load_policy(), profile, tmp_path / f"seed{seed}",
                 recording.begin, recording.arrivals)
        for seed in range(5)
    ]  # fmt: skip
    predicted = median(one.decision_to_map["p50"] for one in outcomes)
    assert predicted == pytest.approx(real.decision_to_map["p50"], rel=0.2)
    made = median(one.milestones["finished"]["p50"] for one in outcomes)
    assert made == pytest.approx(real.milestones["finished"]["p50"], rel=0.2)
    whole.close()
    first.close()


SCALARS = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats() | st.text(max_size=8)
ROWS = st.dictionaries(st.sampled_from(["ifo", "ifos", "snr", "mchirp", "chisq", "end_time"]), SCALARS)
TABLES = st.dictionaries(
    st.sampled_from(["CoincInspiral", "SingleInspiral", "MultiBurst", "MLyBurst", "strange"]),
    SCALARS | ROWS | st.lists(ROWS | SCALARS, max_size=3),
)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return Ledger(tmp_path_factory.mktemp("empty") / "ledger.sqlite", create=True)


@example(extra={"CoincInspiral": {}, "SingleInspiral": {"ifo": "H1"}}, pipeline="gstlal", far=1e-9)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(extra=SCALARS | TABLES, pipeline=st.sampled_from(["gstlal", "CWB", "MLy", "oLIB", "aframe"]), far=SCALARS)
def test_any_event_is_simulated_as_it_was_or_left_out(empty: Ledger, extra: Any, pipeline: str, far: Any) -> None:
    data = {
        "graceid": "G1", "group": "CBC", "pipeline": pipeline, "search": "AllSky", "gpstime": 1.3e9, "far": far,
        "instruments": "H1,L1", "extra_attributes": extra,
    }  # fmt: skip
    with empty.transaction() as tx:
        tx.execute("DELETE FROM messages")
        for number, graceid in enumerate(("G1", "G2")):
            good = {"graceid": graceid, "extra_attributes": {}, "far": 1e-9, "pipeline": "gstlal"}
            one = {**data, **(good if graceid == "G2" else {})}
            payload = json.dumps({"alert_type": "new", "uid": graceid, "object": one}).encode()
            incoming = Incoming("igwn-alert", "cbc", 0, number, payload)
            messages.receive(tx, incoming, ["superevent"], BEGIN)
    recording = read_recording(empty)
    assert len(recording.arrivals) + sum(recording.left_out.values()) == 2
    assert recording.arrivals, "a strange event disturbs no other"
