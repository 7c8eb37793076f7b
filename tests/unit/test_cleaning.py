"""Removal of old job directories in the background, even if they change meanwhile."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from gwbatch.clock import ManualClock
from gwbatch.dispatcher import cleaning
from gwbatch.dispatcher.cleaning import Cleaner, remove_old_job_directories


def subject(folder: Path, name: str, age: float) -> Path:
    place = folder / name / "localize" / "1"
    place.mkdir(parents=True)
    (place / "job.json").write_text("{}")
    for path in (place / "job.json", place, place.parent, place.parent.parent):
        os.utime(path, (1000.0 - age, 1000.0 - age))
    return place.parent.parent


def test_old_ones_go_and_young_ones_stay(tmp_path: Path) -> None:
    subject(tmp_path, "G1", 100.0)
    subject(tmp_path, "G2", 10.0)
    (tmp_path / "G3").mkdir()  # just created; it has no files yet
    assert remove_old_job_directories(tmp_path, 950.0) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["G2", "G3"]
    assert remove_old_job_directories(tmp_path / "nowhere", 950.0) == 0


def test_what_vanishes_meanwhile_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("G1", "G2", "G3"):
        subject(tmp_path, name, 100.0)
    scandir = os.scandir

    def vanishing(path: Any) -> Any:
        if "G2" in str(path):
            raise FileNotFoundError(2, "No such file or directory")
        return scandir(path)

    monkeypatch.setattr(cleaning.os, "scandir", vanishing)
    remove_old_job_directories(tmp_path, 950.0)
    assert {path.name for path in tmp_path.iterdir()} <= {"G2"}


def test_what_cannot_be_looked_into_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject(tmp_path, "G1", 100.0)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(cleaning.os, "scandir", refuse)
    assert remove_old_job_directories(tmp_path, 950.0) == 0


def test_a_cleaner_that_fails_harms_nobody_and_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stop, tries = threading.Event(), []

    def explode(*_: object) -> int:
        tries.append(1)
        if len(tries) == 2:
            stop.set()
        raise RuntimeError("disk on fire")

    monkeypatch.setattr(cleaning, "remove_old_job_directories", explode)
    monkeypatch.setattr(cleaning, "EVERY", 0.0)
    Cleaner(tmp_path, 1.0, ManualClock(1000.0)).run(stop)
    assert len(tries) == 2
    assert "cannot clean up" in caplog.text


def test_a_cleaner_leaves_in_the_middle_when_it_is_told_to(tmp_path: Path) -> None:
    for number in range(5):
        subject(tmp_path, f"G{number}", 100.0)
    stop = threading.Event()
    stop.set()
    assert remove_old_job_directories(tmp_path, 950.0, stop) == 0
