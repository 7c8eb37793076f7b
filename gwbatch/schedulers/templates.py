"""The templates in ``submit/`` and ``dags/``: what operators read and change, filled in with the site profile."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from gwbatch.config.resources import resource_directory
from gwbatch.errors import ConfigError

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def render(template: str, **values: Any) -> str:
    """The template `template` of ``submit/`` or ``dags/`` filled in.

    Raises
    ------
    ConfigError
        When the template asks for what is not there, or a value would break out of its line.
    """
    try:
        text = _environment().get_template(template).render(**values)
    except jinja2.TemplateError as error:
        raise ConfigError(f"The template {template} cannot be filled in: {error}.") from error
    return re.sub(r"\n{3,}", "\n\n", text)


def job_script() -> Path:
    """The script that starts the interpreter on a node."""
    return resource_directory("submit") / "job.sh"


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([resource_directory("submit"), resource_directory("dags")]),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_one_line,
    )
    environment.filters.update(
        classad=classad, arguments=_arguments, environment=_variables, names=_names, elsewhere=_elsewhere,
        attribute=_attribute, pattern=_pattern, sh=lambda value: shlex.quote(str(value)),
    )  # fmt: skip
    return environment


def _one_line(value: Any) -> Any:
    """A value with a line break in it could add a statement of its own to a submit file."""
    if isinstance(value, str | Path) and _CONTROL.search(str(value)):
        raise ConfigError(f"{str(value)!r} has a control character in it and cannot stand in a submit file.")
    return value


def classad(value: bool | int | float | str) -> str:
    """A value as a ClassAd literal, safe from the macros of a submit file."""
    return json.dumps(value, ensure_ascii=False).replace("$", "$(DOLLAR)")


def _arguments(words: Iterable[str]) -> str:
    """Words in HTCondor's own quoting of ``arguments``."""
    return '"' + " ".join(quoted(word) for word in words) + '"'


def _variables(environment: Mapping[str, str]) -> str:
    """``NAME=value`` pairs in HTCondor's own quoting of ``environment``."""
    return '"' + " ".join(f"{name}={quoted(value)}" for name, value in environment.items()) + '"'


def quoted(word: str) -> str:
    """A word in HTCondor's own quoting of ``arguments`` and ``environment``."""
    doubled = word.replace('"', '""').replace("$", "$(DOLLAR)")
    return "'" + doubled.replace("'", "''") + "'" if re.search(r"[\s']", word) or not word else doubled


def _names(files: Iterable[str]) -> str:
    """File names as a list of HTCondor's."""
    listed = list(files)
    for name in listed:
        if re.search(r"[,\s]", name):
            raise ConfigError(f"The file name {name!r} has a comma or a space in it, which HTCondor cannot transfer.")
    return ", ".join(listed)


def _attribute(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise ConfigError(f"{name!r} is no name of a job attribute (letters, digits and _).")
    return name


def _pattern(path: Path) -> str:
    """A path in Slurm's file name patterns."""
    return shlex.quote(str(path).replace("%", "%%"))


def _elsewhere(hosts: Iterable[str]) -> str:
    return " && ".join(f"TARGET.Machine =!= {classad(host)}" for host in hosts)
