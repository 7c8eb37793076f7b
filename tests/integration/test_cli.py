"""The command line as users see it."""

from __future__ import annotations

import getpass
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gwbatch.cli import COMMANDS
from gwbatch.config.policy import load_policy
from gwbatch.config.profile import load_site
from gwbatch.ledger import Ledger, in_force, jobs, messages
from gwbatch.ledger.messages import Incoming
from gwbatch.model import JobState
from gwbatch.reports import detail
from gwbatch.reports.detail import dead_letter
from tests import alerts


def gwbatch(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gwbatch", *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, **environment}, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = gwbatch(*filter(None, [command]), "--help")
    assert done.returncode == 0
    assert "Example" in done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["status", "--state", "/nonexistent"], ["status", "--help"]])
def test_nothing_heavy_is_imported_for_help_and_status(arguments: list[str]) -> None:
    """Help and status start fast because they import no heavy packages."""
    program = f"""
import sys
sys.argv = ["gwbatch", *{arguments!r}]
from gwbatch.cli import main
try:
    main()
except SystemExit:
    pass
heavy = {{
    "numpy", "astropy", "ligo.skymap", "ligo.gracedb", "lxml", "confluent_kafka", "requests", "msgspec", "starlette",
}}
print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.stderr.splitlines()[-1] == "[]"


def test_usage_errors_are_told_with_exit_code_2() -> None:
    assert gwbatch("nonsense").returncode == 2
    done = gwbatch("run", "--site", "atlantis")
    assert done.returncode == 2
    assert "There is no site profile 'atlantis'. Choose one of" in done.stderr
    assert gwbatch("run", "--set", "gracedb.colour=blue").returncode == 2
    assert "unknown field `colour`" in gwbatch("run", "--set", "gracedb.colour=blue").stderr


def test_a_policy_that_cannot_be_meant_is_told(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('far_limit = "often"')
    done = gwbatch("replay", str(policy), "--dry-run", "--policy", str(policy))
    assert done.returncode == 2
    assert "far_limit" in done.stderr


def test_sites_and_their_origins_are_shown() -> None:
    assert {"name": "local", "description": "jobs as processes on this machine"} in json.loads(
        gwbatch("site", "list", "--json").stdout
    )
    shown = json.loads(gwbatch("site", "show", "local", "--origin", "--json", "--set", "gracedb.timeout=7").stdout)
    assert shown["values"]["gracedb"]["timeout"] == 7.0
    assert shown["origins"]["gracedb.timeout"] == "command line"
    assert shown["origins"]["gracedb.url"].endswith("local.toml")
    assert shown["origins"]["scheduler.python"] == "default"
    assert "complete.cbc.ssm" in gwbatch("site", "show", "--default-policy").stdout


def test_what_a_dispatcher_runs_with_is_shown(tmp_path: Path) -> None:
    gracedb = ["gracedb.timeout=7", "gracedb.url=https://gracedb.example.org/api/"]
    kafka = 'listeners.x={kind="gcn", kafka={"sasl.password"="geheim"}}'
    profile, policy = load_site("local", [*gracedb, kafka]).profile, load_policy()
    words = ["site", "show", "--state", str(tmp_path)]
    ledger = Ledger(tmp_path / "ledger.sqlite", create=True)
    nothing = gwbatch(*words, "--in-force", "profile")
    assert nothing.returncode == 2
    assert "none that this version can read. Start the dispatcher: gwbatch run" in nothing.stderr
    with ledger.transaction() as tx:
        in_force.record(tx, policy, profile, 1.0e9)
    shown = gwbatch(*words, "--in-force", "profile")
    assert "gracedb.timeout = 7.0" in shown.stdout
    assert "geheim" not in shown.stdout
    assert "(hidden)" in shown.stdout
    assert json.loads(gwbatch(*words, "--in-force", "policy", "--json").stdout)["far_limit"] == policy.far_limit
    for wrong in (["--in-force", "policy", "--origin"], ["local", "--in-force", "profile"], []):
        refused = gwbatch(*words, *wrong)
        assert refused.returncode == 2
        assert "--in-force" in refused.stderr
    status = json.loads(gwbatch("status", "--json", "--state", str(tmp_path)).stdout)
    name = "gracedb.example.org"
    assert status["installation"] == {"site": "local", "gracedb": name, "name": name}
    assert f"No dispatcher for {name} is running" in gwbatch("status", "--state", str(tmp_path)).stdout


def test_secrets_of_a_profile_are_not_shown(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text('[listeners.x]\nkafka = { "sasl.password" = "geheim" }\n')
    for extra in ([], ["--json"], ["--origin"]):
        shown = gwbatch("site", "show", str(site), *extra).stdout
        assert "geheim" not in shown
        assert "(hidden)" in shown


def test_a_plug_in_is_found_by_its_entry_point(tmp_path: Path) -> None:
    """An installed distribution advertises its plug-in in the same way."""
    (tmp_path / "mine.py").write_text("from gwbatch import lvalert\nlvalert.handler('cbc_mine')(lambda alert: None)\n")
    (tmp_path / "mine-1.0.dist-info").mkdir()
    (tmp_path / "mine-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (tmp_path / "mine-1.0.dist-info/entry_points.txt").write_text("[gwbatch.plugins]\nmine = mine\n")
    program = """
from gwbatch.config.policy import load_policy
from gwbatch.config.profile import Profile
from gwbatch.orchestrator import load_handlers
print(load_handlers(load_policy(), Profile()).lanes_for("cbc_mine"))
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "['general']\n"


def replay(tmp_path: Path, *lines: object, policy: str = "") -> list[dict[str, object]]:
    file = tmp_path / "alerts.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    (tmp_path / "p.toml").write_text(policy)
    done = gwbatch("replay", str(file), "--dry-run", "--policy", str(tmp_path / "p.toml"))
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_replay_prints_each_decision_and_the_end_state(tmp_path: Path) -> None:
    first = alerts.event("G1", 1e9, 1e-9)
    second = alerts.event("G2", 1e9 + 1.5, 1e-10, pipeline="pycbc", snr=20.0, labels=alerts.COMPLETE)
    decisions = replay(
        tmp_path,
        {"topic": "cbc_gstlal", "payload": alerts.new(first)},
        {"topic": "gracedb.cbc_pycbc", "payload": json.dumps(alerts.new(second))},
        {"topic": "cbc_pycbc_allsky", "payload": alerts.new(second)},
        {"topic": "cbc_gstlal", "payload": alerts.new(alerts.event("G3", far=None))},
        {"topic": "external_fermi", "payload": {}},
        "{nonsense",
        {"topic": "cbc_gstlal", "payload": alerts.new(alerts.event("G4", far=float("nan")))},
        {"topic": "cbc_gstlal", "payload": alerts.new(alerts.event("G5", far=-1.0))},
        '{"topic": "cbc_gstlal", "payload": {"object": {"graceid": "G6", "gpstime": 1e400}}}',
    )
    *steps, final = decisions
    assert [step["action"] for step in steps] == [
        "create", "label", "add_event", "update", "label", "label", "label", "none", *["drop"] * 6,
    ]  # fmt: skip
    assert all(step["superevent"] == "S@G1" for step in steps[:7])
    assert all(step["reason"] for step in steps)
    assert [step["label"] for step in steps if step["action"] == "label"] == [
        "ADVREQ",
        "EM_READY",
        "SIGNIF_LOCKED",
        "LOW_SIGNIF_LOCKED",
    ]
    (superevent,) = final["final"]  # type: ignore[misc]
    assert {name: superevent[name] for name in ("category", "t_start", "t_0", "t_end", "preferred", "events")} == {
        "category": "production",
        "t_start": 1e9 - 1,
        "t_0": 1e9 + 1.5,
        "t_end": 1e9 + 2.5,
        "preferred": "G2",
        "events": ["G1", "G2"],
    }


def test_replay_under_another_policy_decides_otherwise(tmp_path: Path) -> None:
    line = {"topic": "cbc_gstlal", "payload": alerts.new(alerts.event("G1", ifos="H1,K1"))}
    assert replay(tmp_path, line)[-1] == {"final": []}
    assert len(replay(tmp_path, line, policy="drop_instruments = []")[-1]["final"]) == 1  # type: ignore[arg-type]


def test_replay_trusts_the_server_that_named_superevents(tmp_path: Path) -> None:
    named = [alerts.event(f"G{n}", 1e9 + 50 * n, superevent="S230413b") for n in (1, 2)]
    *_, final = replay(tmp_path, *({"topic": "cbc_gstlal", "payload": alerts.new(data)} for data in named))
    assert [s["events"] for s in final["final"]] == [["G1", "G2"]]  # type: ignore[attr-defined]
    lines = [{"topic": "cbc_gstlal", "payload": alerts.new(data)} for data in named]
    assert len(replay(tmp_path, *lines, policy='clustering = "client"')[-1]["final"]) == 2  # type: ignore[arg-type]


def test_a_policy_that_names_an_unknown_job_is_refused_at_start(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[annotation.made_by]\n"bayestar.volume.png" = "plot-volume-exakt"\n')
    done = gwbatch("run", "--state", str(tmp_path / "state"), "--policy", str(policy))
    assert done.returncode == 2
    assert "Unknown job 'plot-volume-exakt'. Known jobs: combine-skymaps" in done.stderr


def test_a_policy_that_names_an_unknown_product_is_refused_at_start(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[annotation.made_for]\n"em_bright.jsn" = ["cbc"]\n')
    done = gwbatch("run", "--state", str(tmp_path / "state"), "--policy", str(policy))
    assert done.returncode == 2
    assert "names the unknown product 'em_bright.jsn'. Known: bayestar.coherence.png" in done.stderr


class Dispatcher:
    """``gwbatch run`` without listeners."""

    def __init__(self, state: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gwbatch", "run", "--state", str(state)], stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if "dispatcher ready" in line:
                return
        raise AssertionError("the dispatcher did not come up")


@pytest.fixture
def dispatcher(tmp_path: Path) -> Iterator[Dispatcher]:
    running = Dispatcher(tmp_path / "state")
    yield running
    if running.process.poll() is None:
        running.process.kill()
    running.process.communicate()


def test_a_second_dispatcher_is_refused_and_a_killed_one_replaced_at_once(
    dispatcher: Dispatcher, tmp_path: Path
) -> None:
    refused = gwbatch("run", "--state", str(tmp_path / "state"))
    assert refused.returncode == 4
    assert f"on host {os.uname().nodename} with pid {dispatcher.process.pid}" in refused.stderr
    dispatcher.process.kill()
    dispatcher.process.wait()
    again = Dispatcher(tmp_path / "state")
    again.process.terminate()
    assert again.process.wait(20) == 0


def test_status_tells_what_is_going_on_and_what_is_wrong(dispatcher: Dispatcher, tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    recorded = tmp_path / "alerts.jsonl"
    good = {"topic": "cbc_gstlal", "payload": alerts.new(alerts.event("G1"))}
    recorded.write_text(json.dumps(good) + "\n{nonsense\n")
    assert "2 messages queued" in gwbatch("replay", str(recorded), "--state", state).stdout
    deadline = time.monotonic() + 20
    while (
        not Ledger(tmp_path / "state/ledger.sqlite").read("SELECT 1 FROM superevents") and time.monotonic() < deadline
    ):
        time.sleep(0.05)
    found = json.loads(gwbatch("status", "--state", state, "--json").stdout)
    assert found["version"] == 1
    assert found["dispatcher"]["running"]
    assert found["dispatcher"]["pid"] == dispatcher.process.pid
    assert set(found["lanes"]) == {"superevent", "exttrig", "general"}
    assert found["superevents"][0]["events"] == ["G1"]
    assert found["dead_letters"]["count"] == 1
    assert "received to decided (superevent)" in found["latencies"]
    shown = gwbatch("status", "--state", state, COLUMNS="200")
    assert shown.returncode == 0
    assert f"(pid {dispatcher.process.pid})" in shown.stdout
    assert "1 dead letters" in shown.stdout
    (letter,) = json.loads(gwbatch("deadletter", "list", "--state", state, "--json").stdout)
    assert "not JSON" in letter["reason"]
    assert "{nonsense" in gwbatch("deadletter", "show", letter["id"], "--state", state).stdout
    assert gwbatch("deadletter", "retry", letter["id"], "--state", state).stdout == "1 queued.\n"
    assert gwbatch("deadletter", "retry", "m999", "--state", state).returncode == 2
    dispatcher.process.send_signal(signal.SIGTERM)
    dispatcher.process.wait(20)
    assert gwbatch("status", "--state", state).returncode == 1


def test_status_without_a_ledger_says_what_to_do(tmp_path: Path) -> None:
    done = gwbatch("status", "--state", str(tmp_path))
    assert done.returncode == 2
    assert "gwbatch run --state" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (
            ["site", "check", "local", "--set", "queues.opnmp.cores=1"],
            2,
            "names the queue 'opnmp'. Known are openmp and general",
        ),
        (
            ["site", "check", "local", "--set", "queues.openmp.min_cores=-3"],
            2,
            "min_cores must be finite and not negative (got -3)",
        ),
        (
            ["site", "check", "local", "--set", "queues.openmp.min_share=1.5"],
            2,
            "min_share must be from 0 to 1 (got 1.5)",
        ),
        (
            ["site", "check", "local", "--set", "gracedb.timeout=-3"],
            2,
            "timeout must be positive and finite (got -3.0)",
        ),
        (["site", "check", "local", "--set", "nonsense"], 2, "write NAME=VALUE"),
        (["site", "check", "./missing.toml"], 2, "There is no file ./missing.toml"),
        (["site", "copy", "nowhere", "x.toml"], 2, "There is no site profile 'nowhere'"),
        (["dag", "write", "/etc/passwd", "--dry-run", "--site", "htcondor-generic"], 3, "is not an event file"),
        (["dag", "write", "nothing-there", "--dry-run", "--site", "htcondor-generic"], 3, "neither a file nor the ID"),
        (
            ["dag", "write", "/etc/passwd", "--dry-run"],
            2,
            "Cannot write a workflow for the site local",
        ),
        (
            ["deploy", "submit", "--site", "local"],
            2,
            "Cannot deploy to the site local",
        ),
        (["deploy", "submit", "--site", "ligo-cit"], 2, "gracedb.url, scheduler.accounting_group are empty"),
        (["deploy", "status", "--state", "/etc/hosts/x"], 2, "Nothing was ever deployed"),
        (["run", "--state", "/etc/hosts/x"], 1, "Not a directory"),
        (["run", "--site", "ozstar"], 2, "gracedb.url, scheduler.account, scheduler.job_directory are empty"),
    ],
)
def test_wrong_usage_of_clusters_is_one_plain_sentence(arguments: list[str], code: int, words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "gwbatch", *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert words in " ".join(done.stderr.split())


def test_a_profile_is_copied_with_its_comments(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gwbatch", "site", "copy", "ligo-cit", str(tmp_path / "mine.toml")]
    subprocess.run(command, check=True, capture_output=True)
    assert "start with dev" in (tmp_path / "mine.toml").read_text()
    assert subprocess.run(command, check=False, capture_output=True).returncode == 2  # it overwrites no file


@pytest.mark.parametrize(
    "what", [["site", "check", "slurm-generic"], ["dag", "write", "EVENT", "--site", "htcondor-generic"]]
)
def test_what_would_be_submitted_comes_as_json_too(what: list[str]) -> None:
    from gwbatch.config.resources import example_event

    words = [str(example_event("short")) if word == "EVENT" else word for word in what]
    command = [sys.executable, "-m", "gwbatch", *words, "--dry-run", "--json"]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert "submit" in told or "workflow.dag" in told["files"]


def refused(*words: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-m", "gwbatch", *words], capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("deadletter", "retry", "mfoo"), ("deadletter", "retry", "e"), ("deadletter", "retry", "x17"),
        ("deadletter", "retry", "m99999999999999999999"), ("deadletter", "retry", "m²"), ("deadletter", "show", "mfoo"),
        ("deadletter", "show", "e5"), ("jobs", "show", "G1/none"), ("jobs", "release", "G1/none"),
        ("jobs", "cancel", "G1/none"), ("jobs", "retry", "G1/none"), ("superevent", "show", "S1"),
        ("superevent", "annotate", "S1"), ("superevent", "prefer", "S1", "G1"),
    ],
)  # fmt: skip
def test_a_wrong_id_is_one_line(words: tuple[str, ...], ledger: Ledger) -> None:
    assert ledger.path is not None
    code, said = refused(*words, "--state", str(ledger.path.parent))
    assert code in (2, 3)
    assert len(said.splitlines()) == 1
    assert said.startswith("Error: There is no ")


def test_a_dead_letter_as_json(ledger: Ledger) -> None:
    assert ledger.path is not None
    with ledger.transaction() as tx:
        messages.receive(tx, Incoming("k", "t", 0, 0, b"\xffx", None), ["general"], 1.0, refused="bad")
    words = [sys.executable, "-m", "gwbatch", "deadletter", "show", "m1", "--json", "--state", str(ledger.path.parent)]
    found = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    assert (found["reason"], found["topic"], found["payload"]) == ("bad", "t", "\ufffdx")


def test_a_message_that_nobody_gave_up_is_no_dead_letter(ledger: Ledger) -> None:
    with ledger.transaction() as tx:
        messages.receive(tx, Incoming("k", "t", 0, 0, b"{}", None), ["general"], 1.0)
    assert dead_letter(ledger, "m1") is None


def test_a_file_that_is_no_event_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "notxml").write_text("hello")
    code, said = refused("job", "localize", str(tmp_path / "notxml"), "-o", str(tmp_path / "a.multiorder.fits"))
    assert code == 3
    assert "Traceback" not in said
    assert "as a LIGO_LW coincidence file" in said.splitlines()[-1]
    assert len(said.splitlines()) <= 2


@pytest.mark.parametrize(
    ("module", "extra", "words"),
    [
        ("astropy", "science", ("job", "plot-allsky", "FILE", "-o", "OUT")),
        ("starlette", "sandbox", ("sandbox", "--state", "OUT")),
        ("uvicorn", "sandbox", ("console",)), ("prometheus_client", "console", ("metrics",)),
        ("starlette", "sandbox", ("demo",)),
    ],
)  # fmt: skip
def test_without_an_extra_its_name_is_said(module: str, extra: str, words: tuple[str, ...], tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] == {module!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "from gwbatch.cli import main\n"
        "main()\n"
    )
    tiny = str(Path(__file__).parents[1] / "data" / "tiny.multiorder.fits")
    named = [tiny if word == "FILE" else str(tmp_path / "a.fits.gz") if word == "OUT" else word for word in words]
    environment = {**os.environ, "GWBATCH_STATE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program, *named], capture_output=True, text=True, check=False, env=environment,
        cwd=tmp_path, timeout=120,
    )  # fmt: skip
    assert done.returncode in (2, 3)
    assert f"pip install 'gwbatch[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("state", "offered"),
    [
        (JobState.FAILED, ["retry"]),
        (JobState.HELD, ["release", "cancel"]),
        (JobState.RUNNING, ["cancel"]),
        (JobState.DONE, []),
        (JobState.CANCELLED, ["retry"]),
    ],
)
def test_only_what_will_be_taken_is_offered_and_on_this_ledger(
    ledger: Ledger, state: JobState, offered: list[str]
) -> None:
    assert ledger.path is not None
    with ledger.transaction() as tx:
        jobs.plan(tx, "G1/a b", "a", "general", "G1", {}, 0, 1.0)
        tx.execute("UPDATE jobs SET state = ?", (state,))
    found = detail.job(ledger, "G1/a b")
    assert found is not None
    assert [shlex.split(command)[2] for command in found["commands"]] == offered
    for command in found["commands"]:
        assert shlex.split(command)[3:] == ["G1/a b", "--state", str(ledger.path.parent)]
    for what in ("release", "cancel", "retry"):
        done = subprocess.run(
            [sys.executable, "-m", "gwbatch", "jobs", what, "G1/a b", "--state", str(ledger.path.parent)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode == 0) is (what in offered), done.stderr
        if what in offered:
            break  # the command has changed the state
    again = detail.job(ledger, "G1/a b")
    assert again is not None
    assert [one["what"] for one in again["ordered"]] == offered[:1]
    shown = gwbatch("jobs", "show", "G1/a b", "--state", str(ledger.path.parent)).stdout
    assert all(f"Z: {what} of attempt 1, ordered by {getpass.getuser()}" in shown for what in offered[:1])


def test_bash_completes_commands_and_options() -> None:
    """The test acts like a terminal: it sources the script and calls its function with the words typed so far."""
    program = """
    source <(gwbatch completion bash)
    COMP_WORDS=(gwbatch sta) COMP_CWORD=1
    _gwbatch_completion gwbatch
    echo "${COMPREPLY[@]}"
    COMPREPLY=()
    COMP_WORDS=(gwbatch latency --cat) COMP_CWORD=2
    _gwbatch_completion gwbatch
    echo "${COMPREPLY[@]}"
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", program], capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
    )
    assert done.stdout.split("\n")[:2] == ["status standby", "--category"], done.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script_of_their_own(shell: str) -> None:
    done = gwbatch("completion", shell)
    assert done.returncode == 0
    assert f"_GWBATCH_COMPLETE={shell}_complete" in done.stdout
