"""``gwbatch demo``: the whole system at work on this machine."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gwbatch.cli.options import profile_options
from gwbatch.errors import ConfigError, GwbatchError

if TYPE_CHECKING:
    from rich.console import Console

    from gwbatch.demo.processes import DemoProcesses

QUIET = 1.0  # s with nothing left to do, after which the demo is over

POLICY = """# A full-resolution flat map would take three seconds.
[annotation]
leave_out = {leave_out}
# The demo's events are completed by the point estimate of their source properties.
[annotation.made_for]
"em_bright.json" = ["cbc"]
[annotation.parameters.flatten]
nside = 512
# In production, second notices follow after four and a half minutes.
[alerts]
second_after = 25.0
"""
# On this machine pilots wait for work, as they could on a cluster, so sky maps and small jobs start at once.
PILOTS = """[standby.openmp]
pilots = 1
[standby.general]
pilots = 1
"""
STANDBY = [
    'standby.openmp.kinds=["localize"]',
    "standby.openmp.orphaned_after=20",
    'standby.general.kinds=["em-bright", "mchirp-source"]',
    "standby.general.orphaned_after=20",
]
TOPICS = {"igwn.gwalert": "json", "igwn.gwalert-avro": "avro"}
# Whether a preliminary notice already mentions Fermi depends on when a node was free for the combined map.
ANNOUNCED = ["PRELIMINARY", "PRELIMINARY", "INITIAL+Fermi"]
TAKEN_BACK = ["PRELIMINARY (less significant)", "PRELIMINARY (less significant)", "RETRACTION"]


@click.command("demo")
@click.option("--site", default="local", show_default=True, help="Site profile whose scheduler runs the jobs.")
@profile_options
@click.option("--quick", is_flag=True, help="Skip the volume plot.")
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for everything.  [default: demo-state/TIME]",
)
@click.option("--timeout", default=900.0, show_default=True, help="Give up after this many seconds.")
def command(site: str, settings: tuple[str, ...], quick: bool, state: Path | None, timeout: float) -> None:
    """See it all work: simulated triggers, a gamma-ray burst, real BAYESTAR maps, and the alerts that astronomers get.

    Exit code 0 requires that GraceDB holds two superevents with the right members, preferred event, labels, sky maps
    and plots. One of them must coincide with the burst and have its joint false alarm rate and combined map, and
    nothing may be left to do. An astronomer who follows the public topics must also have received every notice about
    both, valid and in order. The received notices are kept as files.

    \b
    Examples:
      gwbatch demo
      gwbatch demo --quick --state /tmp/demo
      gwbatch demo --site htcondor-generic
    """
    from rich.console import Console

    from gwbatch.demo.processes import DemoProcesses

    console = Console()
    folder = (state or Path("demo-state") / time.strftime("%Y%m%d-%H%M%S")).absolute()
    if (folder / "state" / "ledger.sqlite").exists():
        raise ConfigError(f"{folder} holds an earlier demo; choose another --state.")
    folder.mkdir(parents=True, exist_ok=True)
    policy = folder / "policy.toml"
    alone = site == "local"
    leave_out = '["bayestar.volume.png"]' if quick else "[]"
    policy.write_text(POLICY.format(leave_out=leave_out) + (PILOTS if alone else ""))
    settings = (*_alert_settings(), *(STANDBY if alone else []), *settings)
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops like Ctrl-C, with every child process
    console.print(f"Sandbox and dispatcher start; logs in {folder}")
    with DemoProcesses(folder, site=site, policies=[policy], settings=settings) as stage:
        problems = _play(stage, console, began, timeout, volume=not quick)
    console.print(f"Pictures: {folder / 'pictures'}/*/bayestar*.png")
    console.print(f"What astronomers received: {folder / 'received'}/*.json")
    console.print(f"Look around: gwbatch status --state {stage.state}")
    if problems:
        raise GwbatchError("The demo failed:\n  " + "\n  ".join(problems))
    console.print(f"[bold green]All well[/] after {time.monotonic() - began:.0f} s.")


def _alert_settings() -> list[str]:
    """Send alerts to the sandbox's broker: Avro as for SCiMMA, JSON as for GCN."""
    brokers = [
        f'alerts.brokers.{form}={{bootstrap="@KAFKA@", topic="{topic}", format="{form}", categories=["production"], '
        'kafka={"fetch.wait.max.ms"=10}}'
        for topic, form in TOPICS.items()
    ]
    return ["alerts.mode=all", *brokers]


def _play(stage: DemoProcesses, console: Console, began: float, timeout: float, *, volume: bool) -> list[str]:
    from gwbatch.config.profile import GraceDBSettings
    from gwbatch.demo import observatories, verdict
    from gwbatch.demo.pipelines import TRIGGERS, upload
    from gwbatch.gracedb import make_client
    from gwbatch.ledger import Ledger

    client = make_client(GraceDBSettings(stage.addresses["gracedb"], "none"))
    received = stage.start_astronomer(TOPICS)
    graceids = []
    for trigger in TRIGGERS:
        graceids.append(upload(client, trigger))
        console.print(f"{trigger.pipeline} uploaded {graceids[-1]} ({trigger.event}, FAR {trigger.far:g} Hz)")
    merger = client.event(graceids[0]).json()["gpstime"]
    observatories.send(stage.addresses["kafka"], observatories.burst(merger))
    console.print(
        f"Fermi reports trigger {observatories.TRIGGER_ID}, {observatories.AFTER_MERGER:g} s after the merger"
    )
    ledger = Ledger(stage.state / "ledger.sqlite")
    _watch(stage, ledger, console, began, timeout, len(graceids) + 1)
    announced, glitch = (client.event(graceid).json()["superevent"] for graceid in (graceids[0], graceids[2]))
    console.print("All products are there; two preliminary notices are expected about each superevent")
    _wait_for(4, received, stage, began, timeout)
    client.create_signoff(announced, "ADV", "OK", "looks like a merger")
    client.write_label(glitch, "ADVREQ")
    client.create_signoff(glitch, "ADV", "NO", "a glitch at L1")
    console.print(f"The advocate signs {announced} off, and takes {glitch} back")
    _wait_for(6, received, stage, began, timeout)
    _watch(stage, ledger, console, began, timeout, len(graceids) + 1)
    # Two pipelines found the first superevent, which is significant; the second is less significant.
    first = verdict.LABELS | verdict.COINCIDENT_LABELS | verdict.ANNOUNCED | {"HIGH_PROFILE"}
    expected = [(graceids[:2], first), (graceids[2:], verdict.LESS_SIGNIFICANT_LABELS | verdict.RETRACTED)]
    pictures = stage.folder / "pictures"
    found = verdict.received(received)
    problems = [
        *verdict.find_problems(client, ledger, expected, pictures, volume=volume),
        *verdict.find_coincidence_problems(
            client, graceids[0], observatories.TRIGGER_ID, -observatories.AFTER_MERGER, pictures
        ),
        *verdict.find_alert_problems(found, {announced: ANNOUNCED, glitch: TAKEN_BACK}),
    ]
    _print_summary(ledger, console)
    _print_received(found, ledger, console)
    ledger.close()
    return problems


def _wait_for(notices: int, received: Path, stage: DemoProcesses, began: float, timeout: float) -> None:
    """Wait until the astronomer has this number of notices from each topic."""
    while len(list(received.glob("[0-9]*.json"))) < notices * len(TOPICS):
        stage.check_alive()
        if time.monotonic() - began > timeout:
            raise GwbatchError(
                f"The astronomer did not receive {notices} notices within {timeout:g} s; see {stage.folder}."
            )
        time.sleep(0.2)


def _watch(stage: DemoProcesses, ledger: Any, console: Console, began: float, timeout: float, events: int) -> None:
    """Show progress until nothing is left to do."""
    from rich.live import Live

    from gwbatch.config.policy import load_policy
    from gwbatch.demo.verdict import events_heard, pending_work
    from gwbatch.reports.status import report

    policy = load_policy()
    done_since: float | None = None
    with Live(console=console, refresh_per_second=2, transient=True) as live:
        while True:
            now = time.monotonic()
            stage.check_alive()
            found = report(ledger, time.time())
            live.update(_progress(found, now - began))
            heard = events_heard(ledger)
            failed = found["dead_letters"]["count"] or found["jobs"]["by_state"].get("FAILED")
            left = pending_work(stage, ledger, policy)
            if heard < events or (left and not failed):
                done_since = None
            elif done_since is None:
                done_since = now
            elif now - done_since > QUIET:
                return
            if now - began > timeout:
                raise GwbatchError(
                    f"The demo had not finished after {timeout:g} s ({'; '.join(left)}); see {stage.folder}."
                )
            time.sleep(0.2)


def _progress(found: dict[str, Any], elapsed: float) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    superevents = Table("superevent", "events", "labels", "products", expand=True)
    for row in found["superevents"]:
        superevents.add_row(
            row["superevent_id"] or row["key"],
            " ".join(row["events"]),
            " ".join(row["labels"]),
            " ".join(row["products"]),
        )
    jobs = Table("job", "queue", "state", "for", expand=True)
    for job in found["jobs"]["open"][:12]:
        jobs.add_row(job["key"], job["queue"], job["state"], f"{job['age']:.0f} s")
    counts = "  ".join(f"{state} {count}" for state, count in found["jobs"]["by_state"].items())
    return Group(Text(f"{elapsed:5.0f} s   jobs: {counts}", style="bold"), superevents, jobs)


def _products_table(ledger: Any) -> Any:
    from rich.table import Table

    from gwbatch.demo import verdict

    table = Table("superevent", "product", "made by", "at (UTC)", title="Who made what, when", title_justify="left")
    for made in verdict.products(ledger):
        at = time.strftime("%H:%M:%S", time.gmtime(made.created))
        table.add_row(made.superevent, made.name, made.maker, f"{at}.{int(made.created % 1 * 10)}")
    return table


def _print_summary(ledger: Any, console: Console) -> None:
    from rich.table import Table

    from gwbatch.cli.status import coincidence_lines, latency_table
    from gwbatch.reports.status import external_events, latencies, superevents

    table = Table(
        "superevent",
        "preferred",
        "events",
        "labels",
        "products",
        title="What GraceDB holds now",
        title_justify="left",
    )
    for row in superevents(ledger):
        table.add_row(
            row["superevent_id"],
            row["preferred"],
            "\n".join(row["events"]),
            "\n".join(row["labels"]),
            "\n".join(row["products"]),
        )
    console.print(table)
    console.print(_products_table(ledger))
    for coincidence in coincidence_lines(external_events(ledger)):
        console.print(coincidence)
    console.print(latency_table(latencies(ledger)))


def _print_received(found: list[dict[str, Any]], ledger: Any, console: Console) -> None:
    """Print what the astronomer received, and where the time of the first notice went."""
    from rich.table import Table

    from gwbatch.demo.verdict import describe
    from gwbatch.reports.alerts import notice, notices

    table = Table("superevent", "notice", "topic", "received (UTC)", "90 % area", "_id")
    table.title, table.title_justify = "What an astronomer received", "left"
    for one in found:
        area = one["maps"].get("skymap", {}).get("area_90")
        table.add_row(
            one["notice"].get("superevent_id", "?"),
            describe(one["notice"]),
            one["topic"],
            time.strftime("%H:%M:%S", time.gmtime(one["received"])),
            "" if area is None else f"{area:.0f} deg²",
            one["_id"][:8],
        )
    console.print(table)
    first = next((one for one in reversed(notices(ledger)) if one["kind"] == "preliminary"), None)
    shown = None if first is None else notice(ledger, str(first["id"]))
    if shown is not None:
        console.print(f"Where the time of {shown['superevent_id']}/{shown['name']} went:")
        for part in shown["parts"]:
            console.print(f"  {part['end'] - part['begin']:7.2f} s  {part['name']}")
