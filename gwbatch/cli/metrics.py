"""``gwbatch metrics``: metrics for Prometheus, and their Grafana dashboard."""

from __future__ import annotations

import time
from pathlib import Path

import click

from gwbatch.cli.options import ledger_path, state_option
from gwbatch.errors import ConfigError


@click.command("metrics")
@state_option
@click.option(
    "--textfile",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write them to this file atomically, for a node exporter's textfile collector.",
)
@click.option("--every", type=click.FloatRange(min=1.0), help="With --textfile: rewrite it at this interval, s.")
@click.option("--grafana", is_flag=True, help="Print a Grafana dashboard of all metrics instead.")
def command(state: Path | None, textfile: Path | None, every: float | None, grafana: bool) -> None:
    """Print metrics in Prometheus' format: messages, lag, lanes, effects, jobs, latencies, whole-node seconds.

    The console serves the same metrics at /metrics. Use --textfile at sites that forbid open ports.

    \b
    Examples:
      gwbatch metrics
      gwbatch metrics --textfile /var/lib/node_exporter/gwbatch.prom --every 15
      gwbatch metrics --grafana > gwbatch-dashboard.json
    """
    path = ledger_path(state)
    if path.exists():
        from gwbatch.ledger import Ledger, in_force

        in_force.import_recorded_plugins(Ledger(path))
    if grafana:
        from gwbatch.metrics.grafana import dashboard

        click.echo(dashboard())
        return
    if every is not None and textfile is None:
        raise ConfigError("--every needs --textfile.")
    try:
        from gwbatch.metrics.exposition import exposition
    except ImportError as error:
        raise ConfigError(f"Metrics need more packages ({error.name}): pip install 'gwbatch[console]'.") from error
    from gwbatch.ledger import Ledger

    path = ledger_path(state)
    while True:
        ledger = Ledger(path) if path.exists() else None
        text = exposition(ledger, time.time())
        if ledger is not None:
            ledger.close()
        if textfile is None:
            click.echo(text.decode(), nl=False)
            return
        temporary = textfile.with_name(f".{textfile.name}.new")
        temporary.write_bytes(text)
        temporary.replace(textfile)
        if every is None:
            return
        time.sleep(every)
