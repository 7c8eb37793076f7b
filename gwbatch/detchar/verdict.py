"""The verdict on the data: the labels DQV, DQOK and INJ, and sentences for GraceDB's log."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from gwbatch.detchar.bits import Bit, Glitch

DQV, DQOK, INJ = "DQV", "DQOK", "INJ"
WORDS = {True: "pass", False: "fail", None: "unknown"}


@dataclass(frozen=True)
class Report:
    """The result of a check.

    Attributes
    ----------
    add, remove : frozenset of str
        Labels to set on the superevent, and labels to remove from it.
    quality, injections, glitches : str
        Sentences for the log.
    """

    add: frozenset[str] = frozenset()
    remove: frozenset[str] = frozenset()
    quality: str = ""
    injections: str = ""
    glitches: str = ""
    bits: tuple[Bit, ...] = field(default_factory=tuple)

    @property
    def table(self) -> str:
        """The bits as an HTML table, which GraceDB renders in log messages."""
        rows = "".join(
            f"<tr><td>{bit.channel}</td><td>{bit.name}</td><td>{WORDS[bit.on]}</td></tr>" for bit in self.bits
        )
        return f"<table><tr><th>channel</th><th>bit</th><th>state</th></tr>{rows}</table>"


def judge(
    bits: Iterable[Bit], glitches: Iterable[Glitch], active: Collection[str], threshold: float, *, veto_glitches: bool
) -> Report:
    """Return the verdict on the data around a superevent.

    Parameters
    ----------
    active : collection of str
        Detectors of the preferred event. The others are logged, but count only for the absence of injections.
    threshold : float
        iDQ false alarm probability at or below which a glitch is likely.
    veto_glitches : bool
        Whether such a glitch vetoes the event.
    """
    bits, glitches = tuple(bits), tuple(glitches)
    ours = [bit for bit in bits if bit.detector in active]
    quality = [bit.on for bit in ours if not bit.is_injection]
    loud = [one for one in glitches if one.detector in active and _is_loud(one, threshold)]
    add, remove = set[str](), set[str]()
    bad = [bit for bit in ours if bit.on is False and not bit.is_injection]
    if bad or (loud and veto_glitches):
        add, remove = {DQV}, {DQOK}
        words = "fails: " + ", ".join([*(f"{bit.detector} {bit.name}" for bit in bad), *(one.detector for one in loud)])
    elif quality and all(quality):
        add, remove = {DQOK}, {DQV}
        words = "is good"
    else:
        words = "is unknown"
    injected = [bit for bit in ours if bit.is_injection and bit.on is False]
    everywhere = [bit.on for bit in bits if bit.is_injection]
    if injected:
        add.add(INJ)
    elif everywhere and all(everywhere):
        remove.add(INJ)
    return Report(
        frozenset(add), frozenset(remove), f"Data quality {words}.", _injections(injected, everywhere),
        _glitches(glitches, threshold), bits,
    )  # fmt: skip


def _is_loud(one: Glitch, threshold: float) -> bool:
    return one.probability is not None and one.probability <= threshold


def _injections(injected: list[Bit], everywhere: list[bool | None]) -> str:
    if injected:
        return "Injection found: " + ", ".join(f"{bit.detector} {bit.name}" for bit in injected) + "."
    if everywhere and all(everywhere):
        return "No hardware injection found."
    return "It is not known whether there were hardware injections."


def _glitches(glitches: tuple[Glitch, ...], threshold: float) -> str:
    said = []
    for one in glitches:
        if one.probability is None:
            said.append(f"{one.detector} unknown")
        else:
            verdict = "a glitch is likely" if one.probability <= threshold else "no glitch"
            said.append(f"{one.detector} {one.probability:.3g} ({verdict})")
    return "iDQ false alarm probabilities: " + (", ".join(said) or "none") + "."
