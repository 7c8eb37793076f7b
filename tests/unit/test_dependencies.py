"""Agreement between the package's imports and its declared dependencies, extra by extra."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# Import names whose distribution has another name.
DISTRIBUTIONS = {
    "confluent_kafka": "confluent-kafka", "gcn_kafka": "gcn-kafka",
    "prometheus_client": "prometheus-client", "htcondor2": "htcondor", "classad2": "htcondor",
    "igwn_gwalert_schema": "igwn-gwalert-schema", "ligo.gracedb": "ligo-gracedb", "ligo.skymap": "ligo.skymap",
    "ligo.p_astro": "p_astro", "ligo_cgmi": "ligo-cgmi", "igwn_ligolw": "igwn-ligolw", "lal": "lalsuite",
    "lalsimulation": "lalsuite", "lalinspiral": "lalsuite", "ligo.followup_advocate": "ligo-followup-advocate",
    "ligo.em_bright": "ligo.em-bright",
}  # fmt: skip
# Where each extra's packages may be imported. All other code imports only the required dependencies.
PLACES = {
    "science": ("jobs/", "demo/", "campaigns/"), "mpi": ("campaigns/ranks.py",),
    "alerts": ("alerts/", "circulars.py", "detchar/", "demo/"),
    "sandbox": ("sandbox/", "demo/", "simulation/"), "console": ("console/", "metrics/"),
    "htcondor": ("schedulers/htcondor/", "jobs/standby/chirp.py"), "slurm": ("schedulers/slurm/",),
}  # fmt: skip


# Programs that run in a separate environment, and the file that declares it.
ELSEWHERE = {"jobs/em_bright_program.py": ROOT / "gwbatch" / "config" / "em-bright.txt"}


def pinned(path: Path) -> set[str]:
    return {line.partition("==")[0].lower() for line in path.read_text().splitlines() if "==" in line}


def declared(extra: str = "") -> set[str]:
    listed = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    return {re.split(r"[\[><=!; ]", line)[0].lower() for line in listed}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {distribution(name) for name in names} - {""}


def distribution(name: str) -> str:
    parts = name.split(".")
    if parts[0] in sys.stdlib_module_names or parts[0] in ("gwbatch", "__future__"):
        return ""
    known = next((DISTRIBUTIONS[key] for key in (".".join(parts[:2]), parts[0]) if key in DISTRIBUTIONS), parts[0])
    return known.lower()


@pytest.mark.parametrize("path", sorted((ROOT / "gwbatch").rglob("*.py")), ids=lambda path: path.name)
def test_everything_imported_is_declared(path: Path) -> None:
    place = str(path.relative_to(ROOT / "gwbatch"))
    allowed = declared().union(*(declared(extra) for extra, places in PLACES.items() if place.startswith(places)))
    if place in ELSEWHERE:
        allowed = pinned(ELSEWHERE[place])
    assert imported(path) <= allowed


@pytest.mark.parametrize("extra", ["", *PLACES])
def test_everything_declared_is_used(extra: str) -> None:
    """Packages that only other packages need are exempt; comments in ``pyproject.toml`` explain them."""
    used = set().union(*(imported(path) for path in (ROOT / "gwbatch").rglob("*.py")))
    silent = {"python-multipart", "igwn-gwalert-schema", "healpy", "mpich"}
    assert declared(extra) - used <= silent


def test_one_extra_has_all_of_them() -> None:
    (line,) = PROJECT["optional-dependencies"]["all"]
    assert set(re.split(r",\s*", line.partition("[")[2].rstrip("]"))) == {
        "science",
        "alerts",
        "sandbox",
        "console",
        "htcondor",
    }


def test_nothing_for_tests_alone_is_installed_at_a_users() -> None:
    tests = {"psutil", "pytest", "hypothesis", "playwright"}
    assert not tests & declared().union(*(declared(extra) for extra in PLACES))
