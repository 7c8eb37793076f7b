"""An effect of a plug-in: class, executor and handler in one file, executed exactly once whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gwbatch import executor, igwn_alert
from gwbatch.dispatcher import workers
from gwbatch.effects import Effect
from gwbatch.effects.kinds import Label
from gwbatch.errors import BadInput, ConfigError, TransientError
from gwbatch.executors.registry import Claim, EffectResult, retry_dead
from gwbatch.ledger import Transaction
from gwbatch.runtime import Runtime
from tests.declared import declaring
from tests.integration.harness import Harness

calls: list[int] = []
problems: list[BaseException] = []
hooks: list[str] = []


class Note(Effect, frozen=True):
    """Write a line to a file."""

    kind = "test.note"
    path: str
    line: str

    @property
    def key(self) -> str:
        return f"note/{self.line}"


def gave_up(tx: Transaction, claim: Claim[Note], reason: str, runtime: Runtime) -> None:
    tx.execute("UPDATE effects SET priority = 7 WHERE key = ?", (claim.key,))
    if claim.effect.line == "broken":
        raise KeyError("hook")
    hooks.append(f"dead {claim.effect.line}: {reason}")


def again(tx: Transaction, effect: Note) -> None:
    hooks.append(f"retried {effect.line}")


@executor(Note, on_dead=gave_up, on_retry=again)
def write(claim: Claim[Note], runtime: Runtime) -> EffectResult:
    if problems:
        raise problems.pop()
    path = Path(claim.effect.path)
    calls.append(claim.attempts)
    if not (claim.repeated and path.exists() and claim.effect.line in path.read_text().split()):
        with path.open("a") as file:
            file.write(f"{claim.effect.line}\n")
    return EffectResult({"lines": len(path.read_text().split())}, lambda tx: hooks.append("committed"))


@pytest.fixture
def noting(harness: Harness, tmp_path: Path) -> Iterator[Path]:
    for found in (calls, problems, hooks):
        found.clear()

    def note(alert: dict[str, Any]) -> Note:
        return Note(str(tmp_path / "notes.txt"), alert["line"])

    with declaring(harness.registry):
        igwn_alert.handler("cbc_noted")(note)
        yield tmp_path / "notes.txt"


def test_one_file_adds_an_effect(harness: Harness, noting: Path) -> None:
    harness.deliver("cbc_noted", b'{"line": "one"}', 0.0)
    harness.settle()
    assert noting.read_text() == "one\n"
    (row,) = harness.ledger.read("SELECT * FROM effects WHERE kind = 'test.note'")
    assert (row["key"], row["state"], row["result"]) == ("note/one", "done", '{"lines": 1}')
    assert hooks == ["committed"]


@pytest.mark.parametrize("point", ["effect.claimed", "effect.before_done", "effect.after_done"])
def test_it_happens_once_wherever_the_dispatcher_dies(
    harness: Harness, noting: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    class Killed(BaseException):
        pass

    def hit(reached: str) -> None:
        if reached == point:
            raise Killed

    harness.deliver("cbc_noted", b'{"line": "one"}', 0.0)
    monkeypatch.setattr(workers, "hit", hit)
    with pytest.raises(Killed):
        harness.settle()
    monkeypatch.undo()
    harness.restart()
    harness.settle()
    assert noting.read_text() == "one\n"
    assert harness.states("effects") == {"note/one": "done"}


def test_its_hooks_run_when_it_dies_and_when_it_is_retried(harness: Harness, noting: Path) -> None:
    problems.append(BadInput("no such disk"))
    harness.deliver("cbc_noted", b'{"line": "one"}', 0.0)
    harness.settle()
    assert hooks == ["dead one: no such disk"]
    with harness.ledger.transaction() as tx:
        assert retry_dead(tx) == 1
    harness.settle()
    assert hooks == ["dead one: no such disk", "retried one", "committed"]
    assert noting.read_text() == "one\n"


def test_a_broken_hook_ends_no_dispatcher(harness: Harness, noting: Path) -> None:
    problems.append(BadInput("no such disk"))
    harness.deliver("cbc_noted", b'{"line": "broken"}', 0.0)
    harness.settle()
    assert harness.dead() == ["no such disk; after that on_dead failed: KeyError: 'hook'"]
    assert harness.ledger.read("SELECT priority FROM effects")[0]["priority"] == 0, "what the hook wrote is undone"


def test_an_executor_that_exits_ends_no_dispatcher(harness: Harness, noting: Path) -> None:
    problems.append(SystemExit(2))
    harness.deliver("cbc_noted", b'{"line": "one"}', 0.0)
    harness.settle()
    assert harness.dead() == ["SystemExit: 2"]


def test_a_transient_error_is_retried(harness: Harness, noting: Path) -> None:
    problems.append(TransientError("busy"))
    harness.deliver("cbc_noted", b'{"line": "one"}', 0.0)
    harness.settle(10.0)
    assert noting.read_text() == "one\n"
    assert calls == [2]


def test_mistakes_are_reported_at_once(harness: Harness) -> None:
    with pytest.raises(ConfigError, match=r"has the kind 'test\.note'"):

        class Other(Effect, frozen=True):
            kind = "test.note"

    with pytest.raises(ConfigError, match=r"executes gracedb\.label"):
        executor(Label)(lambda claim, runtime: EffectResult())


def test_an_effect_without_an_executor_is_dead_with_a_remedy(harness: Harness) -> None:
    class Lonely(Effect, frozen=True):
        kind = "test.lonely"
        name: str

        @property
        def key(self) -> str:
            return self.name

    with declaring(harness.registry):
        igwn_alert.handler("cbc_lonely")(lambda alert: Lonely("alone"))
        harness.deliver("cbc_lonely", b"{}", 0.0)
        harness.settle()
    assert any("@executor(Lonely)" in reason for reason in harness.dead())
