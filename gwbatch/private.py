"""Folders and files that nobody but their owner may read, whatever the umask: triggers belong to the collaboration."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from gwbatch.errors import ConfigError

FOLDER, FILE = 0o700, 0o600
_OTHERS = stat.S_IRWXG | stat.S_IRWXO

log = logging.getLogger(__name__)


def private_folder(path: Path) -> Path:
    """Make a folder for its owner alone; one that is there already and open to others is closed.

    Raises
    ------
    ConfigError
        When it is open to others and belongs to somebody else.
    """
    path.mkdir(parents=True, exist_ok=True, mode=FOLDER)
    _close(path, FOLDER)
    return path


def private_file(path: Path) -> Path:
    """Make an empty file for its owner alone, or close one that is there already."""
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, FILE))
    _close(path, FILE)
    return path


def keep_private() -> None:
    """Have whatever this process and its children create be for their owner alone."""
    os.umask(_OTHERS)


def _close(path: Path, mode: int) -> None:
    if not path.stat().st_mode & _OTHERS:
        return
    try:
        path.chmod(mode)
    except OSError as error:
        raise ConfigError(
            f"Cannot keep {path} private: others can read it, and its mode cannot be changed ({error.strerror}). "
            f"Ask its owner for: chmod {mode:o} {path}"
        ) from error
    log.warning("%s could be read by others; now only by its owner", path)
