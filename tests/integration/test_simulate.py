"""``gwbatch simulate``: real decisions in virtual time, faster with more nodes and repeatable with the same seed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from gwbatch.cli import cli
from gwbatch.config.policy import Policy, load_policy
from gwbatch.config.profile import load_site
from gwbatch.config.standby import StandbyPolicy
from gwbatch.errors import BadInput
from gwbatch.ledger import Ledger
from gwbatch.simulation.measured import calibrated
from gwbatch.simulation.outcome import Outcome, outcome_of
from gwbatch.simulation.scenario import Pool, Scenario, Seconds, Stream, read_scenario
from gwbatch.simulation.world import World

COMPLETE = '[annotation.made_for]\n"em_bright.json" = ["cbc"]\n'
BROKER = 'alerts.brokers.json={bootstrap="127.0.0.1:1", topic="x", format="json", categories=["production"]}'
SETTINGS = ("alerts.mode=all", BROKER)
BEGIN = 1.8e9
STORM = Stream(at=[10.0], pipelines=["gstlal", "pycbc", "MBTA"] * 2, late=5.0)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    path = tmp_path_factory.mktemp("policy") / "complete.toml"
    path.write_text(COMPLETE)
    return load_policy(path)


def simulated(folder: Path, policy: Policy, scenario: Scenario) -> tuple[Outcome, World]:
    world = World(scenario, policy, load_site("local", SETTINGS).profile, folder, BEGIN)
    world.run()
    try:
        return outcome_of(world), world
    finally:
        world.ledger.close()


def scenario(nodes: int, stream: Stream = STORM) -> Scenario:
    return Scenario(duration=60.0, pool=Pool(nodes=nodes, run={"localize": Seconds(40.0)}), streams={"s": stream})


def test_more_nodes_make_maps_sooner_and_the_same_seed_says_the_same(tmp_path: Path, policy: Policy) -> None:
    few, _ = simulated(tmp_path / "few", policy, scenario(1))
    again, _ = simulated(tmp_path / "again", policy, scenario(1))
    many, _ = simulated(tmp_path / "many", policy, scenario(6))
    assert msgspec.structs.asdict(few) == msgspec.structs.asdict(again)
    assert (few.superevents, few.events, few.dead) == (1, 6, 0)
    assert few.milestones["delivered" if "delivered" in few.milestones else "frozen"]["count"] == 1
    assert few.waited["p50"] > 2 * many.waited["p50"]
    assert few.decision_to_map["p50"] > 1.5 * many.decision_to_map["p50"]
    assert few.node_hours == pytest.approx(many.node_hours, rel=0.3)


def test_timers_come_when_they_should_and_no_notice_leaves(tmp_path: Path, policy: Policy) -> None:
    """The second preliminary notice waits for minutes of virtual time, and the ledger shows it."""
    found, world = simulated(tmp_path / "one", policy, scenario(2, Stream(at=[10.0], burst=True)))
    ledger = Ledger(world.folder / "ledger.sqlite")
    notices = ledger.read("SELECT kind, frozen FROM public_notices ORDER BY id")
    assert [row["kind"] for row in notices] == ["preliminary", "second-preliminary"]
    assert notices[1]["frozen"] - notices[0]["frozen"] > 120.0
    assert ledger.read("SELECT count(*) AS n FROM public_sends WHERE state = 'delivered'")[0]["n"] == 0
    assert ledger.read("SELECT count(*) AS n FROM coincidences")[0]["n"] == 1
    ledger.close()
    assert (found.notices, found.dead) == (2, 0)


def test_a_job_that_is_thrown_off_its_node_begins_again(tmp_path: Path, policy: Policy) -> None:
    pool = Pool(nodes=2, run={"localize": Seconds(40.0)}, preempted=150.0)
    wanted = Scenario(duration=60.0, seed=4, pool=pool, streams={"s": Stream(at=[10.0])})
    found, _ = simulated(tmp_path / "preempted", policy, wanted)
    assert (found.milestones["finished"]["count"], found.dead) == (1, 0)
    assert found.node_hours * 3600 > 60.0, "the node was held longer than a map takes"


HOUR = Scenario(
    duration=3600.0, pool=Pool(nodes=2, start=Seconds(30.0), run={"localize": Seconds(40.0)}),
    streams={"s": Stream(at=[600.0, 1500.0, 2400.0])},
)  # fmt: skip
KINDS = 'standby.openmp.kinds=["localize"]'


def with_pilots(folder: Path, policy: Policy, scenario: Scenario, **wish: Any) -> tuple[Outcome, World]:
    policy = msgspec.structs.replace(policy, standby={"openmp": StandbyPolicy(**wish)})
    world = World(scenario, policy, load_site("local", (*SETTINGS, KINDS)).profile, folder, BEGIN)
    world.run()
    return outcome_of(world), world


def test_a_pilot_saves_the_start_and_the_imports_and_costs_a_node(tmp_path: Path, policy: Policy) -> None:
    cold, _ = simulated(tmp_path / "cold", policy, HOUR)
    none, world = with_pilots(tmp_path / "none", policy, HOUR)
    assert msgspec.structs.replace(none, standby={}) == cold, "pilots that nobody wants change nothing"
    assert none.standby["openmp"]["held"] == 0.0
    held, world = with_pilots(tmp_path / "held", policy, HOUR, pilots=1)
    assert cold.decision_to_map["p50"] - held.decision_to_map["p50"] == pytest.approx(32.0, abs=1.0)
    assert (held.superevents, held.dead, held.standby["openmp"]["jobs"]) == (3, 0, 3)
    lasted = world.pool.clock.now() - BEGIN
    assert held.standby["openmp"]["held"] == pytest.approx((lasted - 30.0) / 3600.0, rel=0.01)
    assert held.standby["openmp"]["busy"] == pytest.approx(3 * 38.0 / 3600.0, rel=0.05)
    assert held.node_hours == pytest.approx(held.standby["openmp"]["held"] + 3 * 2.0 / 3600.0, rel=0.05)
    again, _ = with_pilots(tmp_path / "again", policy, HOUR, pilots=1)
    assert again == held
    world.ledger.close()


def test_pilots_come_and_go_as_the_policy_wants(tmp_path: Path, policy: Policy) -> None:
    """They come for twenty minutes after each alert, and an evicted one is replaced."""
    storm = msgspec.structs.replace(HOUR, streams={"s": Stream(at=[100.0, 200.0, 3500.0])})
    held, world = with_pilots(tmp_path / "after", policy, storm, after_alert=1, after_alert_for=1200.0)
    assert held.standby["openmp"]["jobs"] == 1, "the first and the last event come when there is none"
    first, last = (200.0 + 1200.0) - (100.0 + 30.0), (world.pool.clock.now() - BEGIN) - (3500.0 + 30.0)
    assert held.standby["openmp"]["held"] == pytest.approx((first + last) / 3600.0, rel=0.02)
    world.ledger.close()
    pool = msgspec.structs.replace(HOUR.pool, preempted=12.0)
    evicted, world = with_pilots(tmp_path / "evicted", policy, msgspec.structs.replace(HOUR, pool=pool), pilots=1)
    assert evicted.standby["openmp"]["pilots"] > 3
    assert (evicted.superevents, evicted.milestones["finished"]["count"], evicted.dead) == (3, 3, 0)
    world.ledger.close()


def test_a_job_that_waits_behind_pilots_makes_one_leave(tmp_path: Path, policy: Policy) -> None:
    """Pilots hold both nodes, and a combined map is not for them."""
    scenario = msgspec.structs.replace(HOUR, streams={"s": Stream(at=[600.0], burst=True)})
    held, world = with_pilots(tmp_path / "full", policy, scenario, pilots=2)
    assert (held.milestones["finished"]["count"], held.dead) == (1, 0)
    (job,) = world.ledger.read("SELECT started - created AS waited FROM jobs WHERE kind = 'combine-skymaps'")
    assert 120.0 <= job["waited"] < 240.0
    world.ledger.close()


def test_it_is_calibrated_by_a_ledger(tmp_path: Path, policy: Policy) -> None:
    """A simulation calibrated only by another one's ledger predicts its median decision-to-map time within a fifth."""
    slow = Pool(nodes=1, start=Seconds(9.0, 1.2), run={"localize": Seconds(70.0, 1.2)})
    true = Scenario(duration=3600.0, pool=slow, streams={"s": Stream(at=[10.0, 900.0, 1800.0, 2700.0, 3500.0])})
    real, world = simulated(tmp_path / "real", policy, true)
    ledger = Ledger(world.folder / "ledger.sqlite")
    guess = msgspec.structs.replace(true, seed=7, pool=Pool(nodes=1))
    predicted, _ = simulated(tmp_path / "predicted", policy, calibrated(guess, ledger))
    ledger.close()
    assert predicted.decision_to_map["p50"] == pytest.approx(real.decision_to_map["p50"], rel=0.2)


def run(*words: Any) -> Any:
    return CliRunner().invoke(cli, ["simulate", *map(str, words)])


def test_two_policies_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text("duration = 60\n[streams.one]\nat = [5]\n[pool]\nnodes = 1\n")
    (tmp_path / "complete.toml").write_text(COMPLETE)
    done = run(tmp_path / "s.toml", "--compare", tmp_path / "complete.toml", "--json",
               "--picture", tmp_path / "queues.png", "--keep", tmp_path / "kept")  # fmt: skip
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["simulations"]
    assert found.keys() == {"policy", "complete"}
    assert "shown" not in found["policy"]["milestones"], "without em_bright no event completes"
    assert found["complete"]["milestones"]["shown"]["count"] == 1
    assert "No CBC event" in done.stderr or "em_bright" in done.stderr
    assert (tmp_path / "queues.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "kept" / "complete" / "ledger.sqlite").exists()
    table = run(tmp_path / "s.toml", "--policy", tmp_path / "complete.toml")
    assert "map made: p50, p95" in table.stdout
    refused = run(tmp_path / "s.toml", "--keep", tmp_path / "kept")
    assert "it already exists" in str(refused.exception)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("duration = ", "Cannot read"), ("[pool]\nnodes = 0", "at least one node"),
        ("[pool]\nload = 1.0", "load must be"), ("[streams.x]\nevent = 'gold'", "there is no simulated event"),
        ("[streams.x]\nfar = []", "at least one pipeline"), ("nonsense = 1", "nonsense"),
        ("[pool]\nnodes = 'many'", "nodes"),
    ],
)  # fmt: skip
def test_a_scenario_that_cannot_be_meant_is_refused_in_words(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(BadInput, match=said):
        read_scenario(tmp_path / "bad.toml")
