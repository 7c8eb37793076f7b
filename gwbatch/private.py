"""Folders and files that only their owner may read, whatever the umask, because triggers are confidential."""

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
    """Make a folder that is open only to its owner, or close an existing one to others.

    Raises
    ------
    ConfigError
        When it is open to others and its mode cannot be changed, because somebody else owns it.
    """
    path.mkdir(parents=True, exist_ok=True, mode=FOLDER)
    _close(path, FOLDER)
    return path


def private_file(path: Path) -> Path:
    """Make an empty file that is open only to its owner, or close an existing one to others."""
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, FILE))
    _close(path, FILE)
    return path


def keep_private() -> None:
    """Make everything that this process and its children create accessible only to its owner."""
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
    log.warning("others could read %s; now only its owner can", path)
