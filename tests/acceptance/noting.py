"""A plug-in in one file: an effect that writes a line, its executor, and its handlers."""

from __future__ import annotations

from typing import Any

from gwbatch import executor, igwn_alert, on
from gwbatch.effects import Effect
from gwbatch.executors import Claim, EffectResult
from gwbatch.failpoints import hit
from gwbatch.handlers.context import Context
from gwbatch.handlers.messages import Message
from gwbatch.runtime import Runtime


class Line(Effect, frozen=True):
    """Write a line to ``lines.txt`` in the state directory."""

    kind = "test.line"
    number: int

    @property
    def key(self) -> str:
        return f"line/{self.number}"

    @property
    def subject(self) -> str:
        return "lines"


@executor(Line)
def write(claim: Claim[Line], runtime: Runtime) -> EffectResult:
    """Write the line, unless an earlier attempt has done so."""
    path = runtime.state / "lines.txt"
    known = path.read_text().splitlines() if claim.repeated and path.exists() else []
    if str(claim.effect.number) not in known:
        with path.open("a") as file:
            file.write(f"{claim.effect.number}\n")
        hit("noting.written")
    return EffectResult({"known": len(known)})


class Later(Message, frozen=True):
    """The message that a line is due."""

    topic = "lane.test_later"
    lanes = ("superevent",)
    number: int


@igwn_alert.handler("cbc_later", queue="superevent")
def wait(alert: dict[str, Any], context: Context) -> None:
    """Schedule the line for one second later, whatever happens meanwhile."""
    context.schedule(Later(int(alert["number"])), context.now + 1.0, str(alert["number"]))


@on(Later)
def note_later(message: Later) -> Line:
    """Write the line now."""
    return Line(message.number)


@igwn_alert.handler("cbc_noted")
def note(alert: dict[str, Any]) -> Line:
    return Line(int(alert["number"]))
