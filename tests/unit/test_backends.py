"""Choice of the batch system by the site profile, and the errors when it is missing or lacks a feature."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from gwbatch.config.profile import Profile, Resources, SchedulerSettings, load_site
from gwbatch.errors import ConfigError
from gwbatch.schedulers import (
    backend_names,
    make_campaign_jobs,
    make_deployment,
    make_scheduler,
    make_workflow_writer,
    runs_here,
)
from gwbatch.schedulers.backend import backend_of, find_backend

PLUGIN = """
import msgspec
from gwbatch.schedulers.backend import Backend

class Options(msgspec.Struct, forbid_unknown_fields=True):
    queue: str = "short"

class Toy(Backend):
    name = "toy"
    settings = Options

class NoBackend:
    pass
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install a module with a backend, as pip would."""
    (tmp_path / "toy_batch.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))

    def declare(value: str, name: str = "toy", package: str = "toy") -> None:
        folder = tmp_path / f"{package}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[gwbatch.schedulers]\n{name} = {value}\n")

    yield declare
    find_backend.cache_clear()
    sys.modules.pop("toy_batch", None)


def site(kind: str, **options: object) -> Profile:
    return Profile(name="there", scheduler=SchedulerSettings(kind=kind, options=options))


def test_what_gwbatch_brings_is_found_as_a_plug_in_is() -> None:
    assert {"htcondor", "local", "slurm"} <= set(backend_names())
    assert find_backend("htcondor").name == "htcondor"


def test_an_unknown_batch_system_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'slrum': no such batch system is installed. Choose one of htcondor, local"):
        make_scheduler(site("slrum"), tmp_path)


def test_a_plug_in_is_found_by_its_entry_point(install: Callable[..., None]) -> None:
    install("toy_batch:Toy")
    assert "toy" in backend_names()
    assert backend_of(site("toy", queue="long")).name == "toy"
    assert not runs_here(site("toy"))


def test_a_plug_in_may_lie_in_a_folder_of_the_site(
    install: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("toy_batch:Toy")
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one != str(tmp_path)])
    assert "toy" not in backend_names()
    lying_there = msgspec.structs.replace(site("toy"), plugin_folders=[str(tmp_path)])
    assert backend_of(lying_there).name == "toy"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("toy_batch:NoBackend", "is not a subclass of Backend"),
        ("nowhere_batch:Toy", "Cannot load the batch system 'toy' .nowhere_batch:Toy.: No module named"),
        ("toy_batch:Missing", "Cannot load the batch system 'toy'"),
    ],
)
def test_a_plug_in_that_is_none_is_named(value: str, words: str, install: Callable[..., None]) -> None:
    install(value)
    with pytest.raises(ConfigError, match=words):
        find_backend("toy")


def test_two_plug_ins_of_one_name_are_refused(install: Callable[..., None]) -> None:
    install("toy_batch:Toy")
    install("toy_batch:NoBackend", package="other")
    with pytest.raises(ConfigError, match=r"installed twice .*toy_batch:.*Uninstall one"):
        find_backend("toy")


def test_options_are_the_backends_own(install: Callable[..., None]) -> None:
    install("toy_batch:Toy")
    with pytest.raises(ConfigError, match=r"site profile there: \[scheduler.options\] is invalid.*`partition`"):
        backend_of(site("toy", partition="x"))
    of_jobs = msgspec.structs.replace(site("toy"), queues={"general": Resources(options={"color": "red"})})
    with pytest.raises(ConfigError, match=r"\[queues.general.options\].*`color`"):
        backend_of(of_jobs)
    with pytest.raises(ConfigError, match=r"\[scheduler.options\].*`queue`"):
        backend_of(site("slurm", queue="main"))


def test_what_a_batch_system_cannot_do_it_says(install: Callable[..., None], tmp_path: Path) -> None:
    install("toy_batch:Toy")
    profile = site("toy")
    for asked in (
        lambda: make_deployment(profile, tmp_path, {}),
        lambda: make_campaign_jobs(profile),
        lambda: make_workflow_writer(profile),
        lambda: backend_of(profile).pilots(profile),
    ):
        with pytest.raises(ConfigError, match=r"^Cannot .* the site there, whose batch system is toy. [A-Z]"):
            asked()


def test_options_can_be_given_on_the_command_line() -> None:
    profile = load_site("local", ["scheduler.kind=toy", "scheduler.options.queue=long"]).profile
    assert (profile.scheduler.kind, profile.scheduler.options) == ("toy", {"queue": "long"})
