"""``gwbatch status``: everything at a glance."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gwbatch.cli.options import json_option, ledger_path, state_hint, state_option
from gwbatch.units import age

if TYPE_CHECKING:
    from rich.console import RenderableType


@click.command("status")
@state_option
@json_option
@click.option("--watch", is_flag=True, help="Keep running and refresh until Ctrl-C.")
def command(state: Path | None, as_json: bool, watch: bool) -> None:
    """Show dispatcher, listeners, lanes, effects, jobs, superevents, external events, dead letters and latencies.

    Exit code 0 when the dispatcher runs, 1 when it does not.

    \b
    Examples:
      gwbatch status
      gwbatch status --watch
      gwbatch status --json | jq .lanes
    """
    from gwbatch.ledger import Ledger
    from gwbatch.reports.status import report

    ledger = Ledger(ledger_path(state))
    if as_json:
        found = report(ledger, time.time())
        click.echo(json.dumps(found))
    elif watch:
        from rich.live import Live

        with Live(screen=True, auto_refresh=False) as live:
            while True:
                live.update(render(report(ledger, time.time()), state), refresh=True)
                time.sleep(1.0)
    else:
        from rich.console import Console

        found = report(ledger, time.time())
        # Emoji and highlighting take a fifth of the start-up time.
        console = Console(emoji=False, markup=False, highlight=False)
        for line in _lines(found, state):  # the terminal wraps them, so that a command can be copied whole
            console.print(line, soft_wrap=True)
        console.print(_tables(found))
    raise click.exceptions.Exit(0 if found["dispatcher"]["running"] else 1)


def render(found: dict[str, Any], state: Path | None = None) -> RenderableType:
    """Render the report for people; `state` is the directory that the caller named, if any."""
    from rich.console import Group

    return Group(*_lines(found, state), _tables(found))


def _lines(found: dict[str, Any], state: Path | None) -> list[RenderableType]:
    """Render what runs, what is wrong, and what to do about it."""
    from rich.text import Text

    lines = [_headline(found), *_trouble(found)]
    if (hint := state_hint(state, (one["remedy"] for one in found["findings"]))) is not None:
        lines.append(Text(hint, style="dim"))
    return lines


def _tables(found: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    parts = [
        _superevents(found),
        *_externals(found),
        *_notices(found),
        _work(found),
        latency_table(found["latencies"]),
    ]
    return Group(*(part if part is not None else Text("") for part in parts))


def _headline(found: dict[str, Any]) -> RenderableType:
    from rich.text import Text

    who, installation = found["dispatcher"], found["installation"]
    where = f" for {installation['name']}" if installation else ""
    if who["running"]:
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(who["since"]))
        return Text(f"Dispatcher{where} runs on {who['host']} (pid {who['pid']}) since {since}", style="bold green")
    last = f"; the last one was pid {who['pid']} on {who['host']}" if "pid" in who else ""
    return Text(f"No dispatcher{where} is running{last}. Start it: gwbatch run", style="bold red")


_MARKS = {
    "CRITICAL": ("!!", "bold red"),
    "WARNING": ("! ", "yellow"),
    "UNKNOWN": ("? ", "magenta"),  # from a plug-in's check
    "OK": ("- ", "dim"),
}


def _trouble(found: dict[str, Any]) -> list[RenderableType]:
    """Render the problems and their remedies."""
    from rich.text import Text

    from gwbatch.reports.finding import since_when

    lines: list[RenderableType] = []
    for one in found["findings"]:
        mark, style = _MARKS[one["level"]]
        lines.append(Text(f"{mark} {one['text']}{since_when(one['since'], found['time'])}", style=style))
        if one["remedy"]:
            lines.append(Text(f"   -> {one['remedy']}", style="dim"))
    return lines


def _superevents(found: dict[str, Any]) -> RenderableType:
    from rich.table import Table

    table = Table(
        "superevent",
        "preferred",
        "events",
        "labels",
        "products",
        title="Superevents",
        title_justify="left",
        expand=True,
    )
    for row in found["superevents"]:
        table.add_row(
            row["superevent_id"] or row["key"],
            row["preferred"],
            " ".join(row["events"]),
            " ".join(row["labels"]),
            " ".join(_with_method(name, row["methods"].get(name)) for name in row["products"]),
        )
    return table


def _with_method(product: str, method: str | None) -> str:
    return f"{product} ({method})" if method else product


def _externals(found: dict[str, Any]) -> list[RenderableType]:
    """Render external events, if there are any."""
    from rich.table import Table

    if not found["external_events"]:
        return []
    table = Table("external", "trigger", "search", "labels", "coincidence", title="External events", expand=True)
    table.title_justify = "left"
    for row in found["external_events"]:
        table.add_row(
            row["graceid"] or row["key"],
            f"{row['observatory']} {row['trigger_id']}",
            row["search"],
            " ".join(row["labels"]),
            next(coincidence_lines([row]), ""),
        )
    return [table]


def _notices(found: dict[str, Any]) -> list[RenderableType]:
    """Render public notices, if alerts are on or any notice exists."""
    from rich.table import Table

    alerts = found["alerts"]
    if alerts["mode"] == "off" and not alerts["notices"]:
        return []
    columns = ("notice", "state", "planned (UTC)", "frozen after", "brokers")
    how = f"{alerts['mode']}{', dry run' if alerts['dry_run'] else ''}{', STOPPED' if alerts['stopped'] else ''}"
    table = Table(*columns, title=f"Public alerts ({how})", title_justify="left", expand=True)
    for row in alerts["notices"]:
        frozen = "" if row["frozen"] is None else f"{row['frozen'] - row['planned']:.2f} s"
        table.add_row(
            f"{row['superevent_id'] or row['superevent']}/{row['name']}",
            row["state"],
            time.strftime("%m-%d %H:%M:%S", time.gmtime(row["planned"])),
            frozen,
            row["reason"] or " ".join(_arrival(row, send) for send in row["brokers"]),
        )
    return [table]


def _arrival(row: dict[str, Any], send: dict[str, Any]) -> str:
    if send["delivered"] is None:
        return f"{send['broker']}: {send['state']}"
    return f"{send['broker']} +{send['delivered'] - row['frozen']:.2f} s"


def coincidence_lines(externals: list[dict[str, Any]]) -> Iterator[str]:
    """Describe coincidences, one line each."""
    for row in externals:
        match = row["coincidence"]
        if match is not None:
            rate, how = match["far_spacetime"], "with the sky"
            if rate is None:
                rate, how = match["far_time"], "from the times alone"
            alert = ", RAVEN_ALERT" if match["announced"] else ""
            yield (
                f"{row['observatory']} {row['trigger_id']} with {match['superevent']}: {match['dt']:+.2f} s, "
                f"joint FAR {rate:.3g} Hz {how}{alert}"
            )


def _work(found: dict[str, Any]) -> RenderableType:
    from rich.columns import Columns
    from rich.table import Table

    columns = ("listener", "connected", "last poll", "last message", "lag", "restarts")
    listeners = Table(*columns, title="Listeners", title_justify="left")
    for row in found["listeners"]:
        ages = _age(row["poll_age"]), _age(row["last_message_age"])
        connected = "yes" if row["connected"] else "no"
        listeners.add_row(row["name"], connected, *ages, str(row["lag"]), str(row["restarts"]))
    lanes = Table("lane", "waiting", "oldest", title="Lanes", title_justify="left")
    for name, lane in found["lanes"].items():
        lanes.add_row(name, str(lane["depth"]), _age(lane["oldest_age"]))
    effects = found["effects"]
    lanes.add_row("effects", str(effects["ready"] + effects["running"]), _age(effects["oldest_age"]))
    jobs = Table(
        "job",
        "state",
        "for",
        "where",
        title="Jobs  " + "  ".join(f"{s} {n}" for s, n in found["jobs"]["by_state"].items()),
        title_justify="left",
    )
    for job in found["jobs"]["open"][:12]:
        jobs.add_row(job["key"], job["state"], _age(job["age"]), job["host"] or "")
    tables = [listeners, lanes, jobs]
    if found["standby"]:
        pilots = Table("pilots for", "ready", "wanted", "because", title="Standby", title_justify="left")
        for queue, one in found["standby"].items():
            pilots.add_row(queue, str(one["ready"]), str(one["wanted"]), one["why"])
        tables.append(pilots)
    return Columns(tables)


def latency_table(latencies: dict[str, dict[str, Any]]) -> RenderableType:
    """Tabulate median and 95th percentile of each stage."""
    from rich.table import Table

    table = Table("stage", "count", "p50 s", "p95 s", title="Where time goes", title_justify="left")
    for name, row in latencies.items():
        table.add_row(name, str(row["count"]), f"{row['p50']:.3f}", f"{row['p95']:.3f}")
    return table


def _age(seconds: float | None) -> str:
    return "-" if seconds is None else age(seconds)
