"""The templates in ``submit/`` and ``dags/``, which operators can read and change, and how gwbatch fills them in."""

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


class Verbatim(str):
    """Text that a filter has already escaped; it goes into the file unchanged."""


def render(template: str, templates: Path | None = None, /, **values: Any) -> str:
    """Fill in a template of ``submit/`` or ``dags/``, or of the caller's own folder `templates`, which comes first.

    In HTCondor's submit files, a ``$`` in a value does not begin a macro unless the template says ``| expression``.

    Raises
    ------
    ConfigError
        When the template is missing or invalid, or uses an undefined value, or a value would break out of its line.
    """
    try:
        text = _environment(templates, macros=template.endswith(".sub")).get_template(template).render(**values)
    except jinja2.TemplateError as error:
        raise ConfigError(f"Cannot fill in the template {template}: {error}.") from error
    return re.sub(r"\n{3,}", "\n\n", text)


def job_script() -> Path:
    """Return the script that starts the interpreter on a node."""
    return resource_directory("submit") / "job.sh"


@cache
def _environment(templates: Path | None, *, macros: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(
            [*([templates] if templates else []), *map(resource_directory, ("submit", "dags"))]
        ),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_without_macros if macros else _one_line,
    )
    environment.filters.update(
        classad=classad, arguments=_arguments, environment=_variables, names=_names, elsewhere=_elsewhere,
        attribute=_attribute, pattern=_pattern, sh=lambda value: shlex.quote(str(value)), expression=Verbatim,
    )  # fmt: skip
    return environment


def _one_line(value: Any) -> Any:
    """Refuse a value with a control character, because a line break could add a statement to the submit file."""
    if isinstance(value, str | Path) and _CONTROL.search(str(value)):
        raise ConfigError(f"Cannot write {str(value)!r} into a submit file: it contains a control character.")
    return value


def _without_macros(value: Any) -> Any:
    _one_line(value)
    plain = isinstance(value, str | Path) and not isinstance(value, Verbatim)
    return _escaped(str(value)) if plain else value


def _escaped(text: str) -> str:
    return text.replace("$", "$(DOLLAR)")


def classad(value: bool | int | float | str) -> str:
    """Format a value as a ClassAd literal in which a submit file expands no macros."""
    return Verbatim(_escaped(json.dumps(value, ensure_ascii=False)))


def _arguments(words: Iterable[str]) -> str:
    """Quote words for HTCondor's ``arguments``."""
    return Verbatim('"' + " ".join(quoted(word) for word in words) + '"')


def _variables(environment: Mapping[str, str]) -> str:
    """Quote ``NAME=value`` pairs for HTCondor's ``environment``."""
    return Verbatim('"' + " ".join(f"{name}={quoted(value)}" for name, value in environment.items()) + '"')


def quoted(word: str) -> str:
    """Quote a word for HTCondor's ``arguments`` or ``environment``."""
    doubled = _escaped(word.replace('"', '""'))
    return "'" + doubled.replace("'", "''") + "'" if re.search(r"[\s']", word) or not word else doubled


def _names(files: Iterable[str]) -> str:
    """Format file names as an HTCondor list."""
    listed = list(files)
    for name in listed:
        if re.search(r"[,\s]", name):
            raise ConfigError(f"Cannot transfer {name!r} with HTCondor: its name contains a comma or a space.")
    return ", ".join(listed)


def _attribute(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise ConfigError(f"Cannot use {name!r} as a name: it must consist of letters, digits and _.")
    return name


def _pattern(path: Path) -> str:
    """Quote a path for use in a Slurm file name pattern."""
    return shlex.quote(str(path).replace("%", "%%"))


def _elsewhere(hosts: Iterable[str]) -> str:
    return Verbatim(" && ".join(f"TARGET.Machine =!= {classad(host)}" for host in hosts))
