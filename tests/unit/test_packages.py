"""Rules of the code: downward imports, pure decisions, jobs without the ledger, no pickles, SQL, docstrings, time."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "gwbatch"

# From top to bottom. A package may import itself and the packages below it.
PACKAGES = [
    "cli", "console", "metrics", "simulation", "demo", "sandbox", "dispatcher", "listeners", "orchestrator", "checks",
    "reconcile", "executors", "runtime", "reports", "handlers", "mirror", "files", "circulars", "mdc", "gracedb",
    "brokers", "campaigns", "schedulers", "ledger", "alerts", "detchar", "annotation", "superevents", "external",
    "jobs", "effects", "model", "plugins", "config", "private", "children", "logs", "failpoints", "keys", "queues",
    "gpstime", "clock", "units", "errors",
]  # fmt: skip

# First words of noun phrases and clauses.
NO_VERBS = {
    "A", "All", "An", "By", "Every", "Everything", "From", "How", "In", "It", "Its", "Nobody", "Nothing", "On",
    "One", "Some", "Somebody", "Something", "That", "The", "Those", "Two", "What", "When", "Where", "Whether",
    "Which", "Who", "Why",
}  # fmt: skip


def imports(path: Path) -> Iterator[str]:
    """Yield the names of all modules that a file imports, at its top or inside functions."""
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
    """All other code asks the backend that the site profile names; `errors` is exempt, as it names a module's extra."""
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
    """Decisions use no ledger, network, clock or files."""
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
LONGEST = 100  # characters of a statement; a longer one belongs in queries.sql


def statements(path: Path) -> Iterator[ast.Constant]:
    """Yield the SQL in a Python file; of a statement composed there, only its first literal."""
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
# These run only in real time: on nodes, for users, or in the demo.
OUTSIDE = ("clock.py", "jobs/", "campaigns/", "cli/", "demo/", "console/", "sandbox/", "logs.py")
# These wait for another process, a server, a broker or a lock of SQLite.
WAITING = {
    "schedulers/timeouts.py", "schedulers/slurm/pyslurm.py", "schedulers/standby/folder.py", "executors/inputs.py",
    "executors/notices/comparing.py", "executors/notices/producer.py", "executors/notices/preview.py",
    "checks/gracedb.py", "checks/integrity.py", "ledger/database.py", "listeners/process.py", "listeners/spool.py",
    "reconcile/looking.py", "reports/detail.py",
}  # fmt: skip


@pytest.mark.parametrize("path", files("."), ids=named)
def test_the_docstring_of_a_function_begins_with_a_verb(path: Path) -> None:
    """Properties are exempt, because they may have a noun phrase."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.FunctionDef) or any("property" in ast.unparse(d) for d in node.decorator_list):
            continue
        first = (ast.get_docstring(node) or "Do").split()[0].strip(",.:;`")
        assert first[0].isupper(), f"{node.name}: {first}"
        assert first not in NO_VERBS, f"{node.name} begins with {first}"


def test_time_is_an_argument() -> None:
    """The time is passed in, so that a day can be simulated and setting the machine's clock delays nothing."""
    found = {named(path) for path in files(".") if TELLS_THE_TIME.search(path.read_text())}
    assert {one for one in found if not one.startswith(OUTSIDE)} == WAITING
