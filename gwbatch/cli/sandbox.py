"""``gwbatch sandbox``: a GraceDB-compatible server and a Kafka broker on loopback."""

from __future__ import annotations

from pathlib import Path

import click

from gwbatch.errors import ConfigError


@click.command("sandbox")
@click.option("--port", default=0, show_default=True, help="Port of the API; 0 takes a free one.")
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of its SQLite file; restarted there, it keeps its data.",
)
@click.option("--group", default="gracedb-sandbox", show_default=True, help="First part of the Kafka topics.")
@click.option("--no-kafka", is_flag=True, help="Serve the API only.")
def command(port: int, state: Path, group: str, no_kafka: bool) -> None:
    """Serve a GraceDB-compatible API that publishes every alert to a loopback Kafka broker.

    Choose a fixed --port if you will restart the sandbox, because alerts contain the server's address.

    Prints one JSON line with its addresses and serves until Ctrl-C.  It is meant for the demo, for tests and for
    offline work with the unmodified ligo-gracedb client, and requires no authentication.

    \b
    Examples:
      gwbatch sandbox --port 0 --state ./sandbox
      gracedb --service-url http://127.0.0.1:PORT/api/ ping
    """
    try:
        from gwbatch.sandbox.server import serve
    except ImportError as error:
        raise ConfigError(f"The sandbox needs more packages ({error.name}): pip install 'gwbatch[sandbox]'.") from error

    serve(port, state, group, kafka=not no_kafka)
