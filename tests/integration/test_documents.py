"""The documents: the README's commands run, code examples work, links resolve and the CLI reference is current."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from gwbatch.cli import cli
from gwbatch.cli.reference import reference
from tests.declared import declaring

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", document.read_text(), re.DOTALL)


def test_the_readmes_commands_run(tmp_path: Path) -> None:
    """They run in order, unchanged but for the folder. A command that ends with & is a service and keeps running."""
    services = []
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    commands = [
        line[2:] for block in blocks(ROOT / "README.md", "console") for line in block.splitlines() if line[:2] == "$ "
    ]
    assert len(commands) >= 8
    try:
        for command in commands:
            command = command.replace("/tmp/", f"{tmp_path}/")
            if command.endswith("&"):
                services.append(
                    subprocess.Popen(
                        f"exec {command[:-1]}", shell=True, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL
                    )
                )
                wait_for_dispatcher(tmp_path)
                continue
            done = subprocess.run(
                command, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    finally:
        for service in services:
            service.send_signal(signal.SIGINT)
            assert service.wait(30) == 0


def wait_for_dispatcher(folder: Path) -> None:
    log, deadline = folder / "gwbatch-readme/logs/dispatcher.log", time.monotonic() + 30
    while not log.exists() or "dispatcher ready" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_code_in_documents_works(document: Path) -> None:
    with declaring() as registry:
        for number, code in enumerate(blocks(document, "python")):
            namespace = {"__name__": f"document_{number}"}
            exec(compile(code, f"{document.name} block {number}", "exec"), namespace)
            if "thank" in namespace:
                (effect,) = registry.handlers()[-1]({"uid": "G1", "alert_type": "new"}, None)
                assert effect.key == "G1/log/thanks"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_named_tests_exist(document: Path) -> None:
    text = document.read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (document.parent / target).exists(), target
    known = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", text):
        assert f"def {name}(" in known, name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_is_named_exists(document: Path) -> None:
    text = document.read_text()
    named = re.findall(r"(?:`|^ {4}(?:\S*/)?|^\$ )gwbatch ((?:[a-z-]+ ?)+)", text, re.MULTILINE)
    for words in named:
        command: click.Command | None = cli
        for word in words.split():
            if not isinstance(command, click.Group) or word.startswith("-"):
                break
            command = command.get_command(click.Context(command), word)
            assert command is not None, f"gwbatch {words}"


def test_the_site_has_every_page() -> None:
    """`make docs` builds the site, and treats warnings as errors."""
    index = (ROOT / "docs" / "index.md").read_text()
    for page in (*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "reference").glob("*.md")):
        name = str(page.relative_to(ROOT / "docs").with_suffix(""))
        assert name == "index" or f"\n{name}\n" in index, name


def test_the_cli_reference_is_current() -> None:
    assert (ROOT / "docs/cli.md").read_text() == reference(), "python -m gwbatch.cli.reference > docs/cli.md"


def test_nothing_of_this_machine_is_committed() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    for name in filter(None, tracked):
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".sql", ".txt", ".yml") or path.name == "Makefile":
            assert "/work/" + "main" not in path.read_text(), name
