"""``gwbatch site prepare``: the separate environments that some products need."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from gwbatch.cli.options import json_option


@click.group("prepare")
def command() -> None:
    """Prepare the separate environments that some products need.

    \b
    Examples:
      gwbatch site prepare em-bright /shared/em-bright
      gwbatch site prepare em-bright /shared/em-bright --models /shared/em-bright-data
    """


@command.command("em-bright")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--models",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Take the model files from this folder.  [default: the network]",
)
@click.option("--python", default=sys.executable, help="Python 3.11 or 3.12 to build with.  [default: this one]")
@json_option
def em_bright(folder: Path, models: Path | None, python: str, as_json: bool) -> None:
    """Make the environment of ligo.em_bright in FOLDER, which all nodes must see, and test it.

    The 30 model files are pickles, so loading one runs code. The first run trusts the files it gets and records their
    SHA-256 in manifest.json; from then on no other file is loaded. A further run does only what is missing.

    \b
    Then say in the site profile and in the policy:
      scheduler.em_bright = "FOLDER"
      [annotation.made_by]
      "em_bright.json" = "em-bright-classifier"
    """
    from gwbatch import children
    from gwbatch.errors import ConfigError
    from gwbatch.jobs import em_bright_classifier as classifier

    folder = folder.absolute()
    if not (folder / "bin" / "python").exists():
        _run(children.python("venv", str(folder), interpreter=python), "make an environment")
    _tell(f"Packages go into {folder}; this takes a minute")
    _run(
        [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", "-r", str(REQUIREMENTS)],
        "install ligo.em_bright",
    )
    seeded = classifier.run(folder, "seed", str(models.absolute()) if models else "", limit=7200.0)
    if "error" in seeded:
        raise ConfigError(seeded["error"])
    tried = classifier.run(folder, "try")
    if "error" in tried:
        raise ConfigError(f"Cannot use the environment in {folder}: {tried['error']}")
    if as_json:
        click.echo(json.dumps({"folder": str(folder), **seeded, **tried}))
        return
    trust = "trusted from now on" if seeded["trusted_now"] else "as the manifest knows them"
    click.echo(f"{seeded['files']} model files, {trust}")
    click.echo(f"{tried['version']} says of a double neutron star: {_words(tried['properties'])}")


STDERR = 2  # stdout carries only the answer
REQUIREMENTS = Path(__file__).parents[1] / "config" / "em-bright.txt"


def _words(properties: dict[str, Any]) -> str:
    return ", ".join(f"{name} {100 * value:.0f} %" for name, value in properties.items())


def _tell(text: str) -> None:
    click.echo(text, err=True)


def _run(words: list[str], what: str) -> None:
    from gwbatch.errors import ConfigError

    try:
        subprocess.run(words, check=True, stdout=STDERR)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigError(f"Cannot {what}: {error}.") from error
