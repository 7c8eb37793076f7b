"""Import of plug-ins, from the environment or from folders that the site profile names."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from gwbatch.errors import ConfigError


def add_folders(folders: Iterable[str]) -> None:
    """Add a site's folders to the import path, after everything installed, so that no plug-in replaces a library.

    Raises
    ------
    ConfigError
        When a folder is not an absolute path.
    """
    for folder in folders:
        if not Path(folder).is_absolute():
            raise ConfigError(f"plugin_folders must hold absolute paths (got {folder!r}).")
        if folder not in sys.path:
            sys.path.append(folder)


def import_plugins(modules: Iterable[str], folders: Iterable[str]) -> None:
    """Import the plug-ins of a site, and those of the entry-point group ``gwbatch.plugins``.

    Raises
    ------
    ConfigError
        When a folder is not an absolute path, or a module cannot be imported.
    """
    add_folders(folders)
    for module in modules:
        try:
            import_module(module)
        except ImportError as error:
            raise ConfigError(
                f"Cannot import the plug-in {module!r} of the site profile: {error}. Install it, or name its folder "
                "in plugin_folders."
            ) from error
    for entry in entry_points(group="gwbatch.plugins"):
        entry.load()
