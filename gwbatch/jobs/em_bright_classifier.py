"""``em_bright.json`` from the field's own classifiers, which run in a separate environment."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gwbatch.errors import BadInput, ConfigError, TransientError
from gwbatch.jobs import em_bright_program
from gwbatch.jobs.by_hand import ByHand
from gwbatch.jobs.catalogue import Work, job
from gwbatch.jobs.charts import describe
from gwbatch.jobs.samples import given_samples
from gwbatch.jobs.template import EVENT, SSM, read_template

ENVIRONMENT = "GWBATCH_EM_BRIGHT"  # the folder that `gwbatch site prepare em-bright` has made
RESIDENT = "GWBATCH_EM_BRIGHT_SOCKET"
ASK, START = 10.0, 300.0  # s to wait for an answer from the resident process, and from a new one


def _start_resident(parameters: Mapping[str, Any]) -> None:
    """Start a resident process that keeps the classifiers loaded; it ends with the pilot that starts it."""
    folder = environment_folder()
    path = Path(tempfile.mkdtemp(prefix="gwbatch-em-bright-")) / "socket"
    libc = ctypes.CDLL(None)
    subprocess.Popen(
        command(folder, "serve", str(path)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=_environment(),
        preexec_fn=lambda: libc.prctl(1, signal.SIGKILL), start_new_session=True,
    )  # fmt: skip
    os.environ[RESIDENT] = str(path)


@job(
    queue="general",
    name="em-bright-classifier",
    preload=["numpy", "igwn_ligolw.utils", "gwbatch.jobs.em_bright_program"],
    prepare=_start_resident,
    by_hand=ByHand(
        "Source properties of an EVENT from the field's classifiers, run in a separate environment.", (EVENT,), (SSM,)
    ),
)
def em_bright_classifier(work: Work) -> dict[str, Any]:
    """Write HasNS, HasRemnant and HasMassGap; for sub-solar-mass searches HasSSM, HasNS and HasMassGap.

    From posterior samples (an input ``*.hdf5``) it writes all four properties. The template is read as for the job
    ``em-bright``, and must have an SNR.
    """
    folder = environment_folder()
    asked = question(work)
    answer = ask_resident(asked) or ask_new(folder, asked)
    if "error" in answer:
        raise BadInput(f"Cannot classify the source: {answer['error']}")
    work.output.write_text(json.dumps(answer["properties"]))
    return {"method": answer["version"], "note": answer["version"], "alt": describe(answer["properties"])}


def question(work: Work) -> dict[str, Any]:
    """Return the question for the classifiers."""
    samples = given_samples(work.inputs)
    if samples is not None:
        return {"samples": str(samples.resolve())}
    template = read_template(work.inputs, work.parameters)
    if template.snr is None:
        raise BadInput("Cannot classify the source: neither its alert nor its coinc.xml gives an SNR.")
    search = str(work.parameters.get("search", "")).lower()
    about = {"search": search, "pipeline": str(work.parameters.get("pipeline", "")).lower()} if search == "ssm" else {}
    spins = {"spin1z": template.spin1z, "spin2z": template.spin2z}
    return {"mass1": template.mass1, "mass2": template.mass2, **spins, "snr": template.snr, **about}


def environment_folder() -> Path:
    """Return the folder of the classifiers on this node.

    Raises
    ------
    ConfigError
        When the site profile names none, or this node does not have it.
    """
    named = os.environ.get(ENVIRONMENT, "")
    if not named:
        raise ConfigError(
            "Cannot use ligo.em_bright: the site profile names no scheduler.em_bright. Make one with: "
            "gwbatch site prepare em-bright FOLDER"
        )
    if not (Path(named) / "bin" / "python").exists():
        raise ConfigError(f"Cannot use ligo.em_bright: {named} is not on this node. Put it where nodes see it.")
    return Path(named)


def ask_resident(asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """Ask the resident process; return None when there is none, or it does not answer."""
    path = os.environ.get(RESIDENT, "")
    if not path or not Path(path).exists():
        return None
    with contextlib.suppress(OSError, ValueError), socket.socket(socket.AF_UNIX) as line:
        line.settimeout(ASK)
        line.connect(path)
        with line.makefile("rw") as stream:
            stream.write(json.dumps(dict(asked)) + "\n")
            stream.flush()
            return dict(json.loads(stream.readline()))
    return None


def ask_new(folder: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Ask a new process, which first takes some seconds to load the classifiers."""
    return run(folder, "ask", text=json.dumps(dict(asked)))


def run(folder: Path, action: str, *more: str, text: str = "", limit: float = START) -> dict[str, Any]:
    """Run the program in the classifiers' environment and return its answer; its progress goes to our stderr."""
    try:
        done = subprocess.run(
            command(folder, action, *more), input=text, stdout=subprocess.PIPE, text=True, check=False, timeout=limit,
            env=_environment(),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TransientError(f"Cannot run the classifiers in {folder}: {error}.") from error
    try:
        return dict(json.loads(done.stdout.splitlines()[-1]))
    except (IndexError, ValueError) as error:
        raise TransientError(f"The classifiers in {folder} ended with code {done.returncode} and no answer.") from error


def command(folder: Path, action: str, *more: str) -> list[str]:
    """Return the command that runs `em_bright_program` in its own environment."""
    return [str(folder / "bin" / "python"), "-I", em_bright_program.__file__, action, str(folder), *more]


def _environment() -> dict[str, str]:
    """Return an environment without any variable of ours that would change what the other Python imports."""
    kept = ("PATH", "HOME", "TMPDIR", "LANG")
    return {**{name: os.environ[name] for name in kept if name in os.environ}, "OMP_NUM_THREADS": "1"}
