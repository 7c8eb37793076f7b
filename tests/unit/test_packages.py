"""Who imports whom: only downwards; pure rules stay pure; jobs never see the ledger; no pickles anywhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "gwbatch"

# From the top down; a package imports packages below it, and itself.
PACKAGES = [
    "cli", "console", "metrics", "simulation", "demo", "sandbox", "dispatcher", "listeners", "orchestrator", "checks",
    "reconcile", "executors", "runtime", "reports", "handlers", "mirror", "files", "circulars", "mdc", "gracedb",
    "brokers", "campaigns", "schedulers", "ledger", "alerts", "detchar", "annotation", "superevents", "external",
    "jobs", "effects", "model", "plugins", "config", "private", "children", "logs", "failpoints", "keys", "queues",
    "gpstime", "clock", "units", "errors",
]  # fmt: skip

# How a noun or a clause begins.
NO_VERBS = {
    "A", "All", "An", "By", "Every", "Everything", "From", "How", "In", "It", "Its", "Nobody", "Nothing", "On",
    "One", "Some", "Somebody", "Something", "That", "The", "Those", "Two", "What", "When", "Where", "Whether",
    "Which", "Who", "Why",
}  # fmt: skip


def imports(path: Path) -> Iterator[str]:
    """The gwbatch modules and others that a file imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def package(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "gwbatch" else ""


def files(*packages: str) -> list[Path]:
    return [path for name in packages for path in sorted((PACKAGE / name).rglob("*.py"))]


def named(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", [path for path in files(".") if path.parent != PACKAGE], ids=named)
def test_packages_import_only_downwards(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0]
    for module in imports(path):
        other = package(module)
        if other and other != own and other in PACKAGES:
            assert PACKAGES.index(other) > PACKAGES.index(own), f"{own} imports {module}"


def test_batch_systems_are_named_in_their_own_package_only() -> None:
    """Everything else asks the backend that the site profile names; `errors` says which extra brings a module."""
    names = {"htcondor", "slurm"}
    for path in files("."):
        if named(path).startswith("schedulers/") or named(path) == "errors.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare | ast.Dict):
                told = {one.value for one in ast.walk(node) if isinstance(one, ast.Constant)}
                assert not told & names, f"{named(path)}:{node.lineno} decides by the name of a batch system"


@pytest.mark.parametrize(
    "path", files("superevents", "external", "annotation", "alerts"), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_decisions_are_pure(path: Path) -> None:
    """No ledger, no network, no clock of their own, no files."""
    barred = ["gwbatch.ledger", "gwbatch.gracedb", "gwbatch.clock", "time", "datetime", "socket", "requests", "sqlite3"]
    barred += ["os", "pathlib"]
    for module in imports(path):
        assert not any(module == name or module.startswith(f"{name}.") for name in barred), module
    assert "open(" not in path.read_text()


@pytest.mark.parametrize("path", files("jobs"), ids=lambda p: p.name)
def test_jobs_never_open_the_ledger_nor_speak_to_gracedb(path: Path) -> None:
    assert not {"ledger", "gracedb", "dispatcher", "handlers"} & {package(module) for module in imports(path)}


def test_no_pickles_anywhere() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert not {"pickle", "marshal", "shelve", "dill", "cloudpickle"} & {
            name.split(".")[0] for name in imports(path)
        }


def test_only_handlers_return_effects_and_only_executors_call_out() -> None:
    """A handler never calls GraceDB or a scheduler itself."""
    for path in files("handlers", "orchestrator"):
        assert not {"gracedb", "schedulers", "executors"} & {package(module) for module in imports(path)}, path


OWN_DATABASES = ("sandbox/store.py", "campaigns/")  # their tables are not the ledger's
STORES = ("ledger/", "mirror/", "reports/")
STATEMENT = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE FROM)\s")
LONGEST = 100  # characters of a statement beside the one function that wraps it


def statements(path: Path) -> Iterator[ast.Constant]:
    """SQL in a file of Python, but for what is put together there."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and STATEMENT.match(node.value):
            yield node


@pytest.mark.parametrize("path", files("."), ids=named)
def test_sql_stands_in_files_of_sql_or_in_one_short_function_of_a_store(path: Path) -> None:
    if named(path).startswith(OWN_DATABASES):
        return
    for sql in statements(path):
        place = f"{named(path)}:{sql.lineno}: {sql.value[:60]}"
        assert named(path).startswith(STORES), f"{place}: only stores know the tables; give it a function there"
        assert len(sql.value) <= LONGEST or "{0}" in sql.value, f"{place}: name it in queries.sql"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("queries.sql")), ids=named)
def test_every_named_query_is_used_in_its_own_package(path: Path) -> None:
    text = "".join(source.read_text() for source in path.parent.glob("*.py"))
    for name in re.findall(r"^-- name: (\w+)$", path.read_text(), re.MULTILINE):
        assert f'"{name}"' in text or (name.startswith("move_") and name.removeprefix("move_") in text), name


TELLS_THE_TIME = re.compile(r"\btime\.(time|monotonic|sleep)\(")
# Nodes, people and tests have the real time only.
OUTSIDE = ("clock.py", "jobs/", "campaigns/", "cli/", "demo/", "console/", "sandbox/", "logs.py")
# Waiting for somebody else: a process, a server, a broker, a lock of SQLite.
WAITING = {
    "schedulers/timeouts.py", "schedulers/slurm/pyslurm.py", "schedulers/standby/folder.py", "executors/inputs.py",
    "executors/notices/comparing.py", "executors/notices/producer.py", "executors/notices/preview.py",
    "checks/gracedb.py", "checks/integrity.py", "ledger/database.py", "listeners/process.py", "listeners/spool.py",
    "reconcile/looking.py", "reports/detail.py",
}  # fmt: skip


@pytest.mark.parametrize("path", files("."), ids=named)
def test_the_docstring_of_a_function_begins_with_a_verb(path: Path) -> None:
    """Properties excepted, which are things."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.FunctionDef) or any("property" in ast.unparse(d) for d in node.decorator_list):
            continue
        first = (ast.get_docstring(node) or "Do").split()[0].strip(",.:;`")
        assert first[0].isupper(), f"{node.name}: {first}"
        assert first not in NO_VERBS, f"{node.name} begins with {first}"


def test_time_is_an_argument() -> None:
    """So that a day can be simulated, and setting the machine's clock makes nothing late."""
    found = {named(path) for path in files(".") if TELLS_THE_TIME.search(path.read_text())}
    assert {one for one in found if not one.startswith(OUTSIDE)} == WAITING
