"""The field's classifiers of source properties, run in the separate environment that they need.

``PYTHON em_bright_program.py ACTION FOLDER`` runs this file there as a script, which imports nothing of gwbatch.
``gwbatch site prepare em-bright`` makes the folder, with the environment, the model files in astropy's cache, and a
manifest of their SHA-256.  The models are pickles, which can execute code, so only those in the manifest are loaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import socket
import sys
from pathlib import Path
from typing import Any

PACKAGE = "ligo.em_bright"
MANIFEST = "manifest.json"
SEED, DRAWS = 1, 100  # of the equations of state that are drawn for posterior samples
MEMORY = 6 * 2**30  # bytes of address space at most
KNOWN_SSM = ("gstlal", "mbta")
# A double neutron star for the action ``try``, with the numbers of the simulated event bns_hlv.
KNOWN_CASE = {"mass1": 1.4758, "mass2": 1.2562, "spin1z": -0.003, "spin2z": -0.016, "snr": 18.29}


class Refused(Exception):
    """A readable reason why the classifiers cannot be used."""


def use_cache(folder: Path) -> None:
    """Have astropy look for the models below the folder, which it does only if the sub-folder exists."""
    (folder / "cache" / PACKAGE).mkdir(parents=True, exist_ok=True)
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cached(links: dict[str, str]) -> dict[str, Path]:
    """Return the model files that the cache holds, by name."""
    from astropy.utils.data import cache_contents

    found = cache_contents(pkgname=PACKAGE)
    return {name: Path(found[url]) for name, url in links.items() if url in found}


def links() -> dict[str, str]:
    from ligo.em_bright import PACKAGE_DATA_LINKS

    return dict(PACKAGE_DATA_LINKS)


def seed(folder: Path, source: str) -> dict[str, Any]:
    """Fetch the models from the folder `source`, or from the network if it is empty.

    The first call trusts the files that it finds, and records them in the manifest.

    Raises
    ------
    Refused
        When a file cannot be fetched, or differs from the one in the manifest.
    """
    from astropy.utils.data import download_file, import_file_to_cache

    use_cache(folder)
    wanted, known = links(), _manifest(folder)
    there = cached(wanted)
    for number, (name, url) in enumerate(sorted(wanted.items()), 1):
        if name not in there:
            print(f"{number:2d}/{len(wanted)} {name}", file=sys.stderr)
            try:
                if source:
                    _compare(name, sha256(Path(source) / name), known)
                    import_file_to_cache(url, str(Path(source) / name), pkgname=PACKAGE)
                else:
                    download_file(url, cache=True, show_progress=False, pkgname=PACKAGE)
            except OSError as error:
                where = source or url
                raise Refused(
                    f"Cannot get the model file {name} from {where}: {error}. Pass a folder that has it (--models)."
                ) from error
    sums = {name: sha256(path) for name, path in cached(wanted).items()}
    for name, found in sums.items():
        _compare(name, found, known)
    if not known:
        partial = folder / f".{MANIFEST}"
        partial.write_text(json.dumps({"package": PACKAGE, "files": sums}, indent=1, sort_keys=True))
        partial.rename(folder / MANIFEST)
    return {"files": len(sums), "trusted_now": not known}


def verify(folder: Path) -> None:
    """Raise `Refused` unless the models are exactly those of the manifest."""
    known = _manifest(folder)
    if not known:
        raise Refused(f"{folder} has no {MANIFEST}. Run: gwbatch site prepare em-bright {folder}")
    there = cached(links())
    for name in sorted({*known, *links()}):
        if name not in there:
            raise Refused(f"The model file {name} is missing in {folder}. Run: gwbatch site prepare em-bright {folder}")
        _compare(name, sha256(there[name]), known)


def _manifest(folder: Path) -> dict[str, str]:
    try:
        return dict(json.loads((folder / MANIFEST).read_text())["files"])
    except FileNotFoundError:
        return {}


def _compare(name: str, found: str, known: dict[str, str]) -> None:
    if known and known.get(name) != found:
        raise Refused(
            f"The model file {name} is not the one that was trusted (SHA-256 {found[:12]}..., the manifest has "
            f"{str(known.get(name))[:12]}...). If that is intended, remove {MANIFEST} and prepare it again."
        )


def load(folder: Path) -> Any:
    """Verify the model files, then import the classifiers."""
    use_cache(folder)
    verify(folder)
    from astropy.utils.data import conf

    conf.allow_internet = False
    with contextlib.redirect_stdout(sys.stderr):
        from ligo.em_bright import em_bright
    return em_bright


def classify(em_bright: Any, asked: dict[str, Any]) -> dict[str, float]:
    """Return the probabilities of a source, from its template or from posterior samples.

    Parameters
    ----------
    asked : dict
        ``samples`` (path of an HDF5 file), or ``mass1``, ``mass2`` (solar masses), ``spin1z``, ``spin2z``, ``snr``, and
        for sub-solar-mass searches ``search`` (``ssm``) and ``pipeline``.
    """
    if "samples" in asked:
        names = ("HasSSM", "HasNS", "HasRemnant", "HasMassGap")
        values = em_bright.source_classification_pe(asked["samples"], num_eos_draws=DRAWS, eos_seed=SEED)
    else:
        mass1, mass2 = asked["mass1"], asked["mass2"]
        numbers = (mass1, mass2, asked.get("spin1z", 0.0), asked.get("spin2z", 0.0))
        if asked.get("search") == "ssm":
            pipeline = str(asked.get("pipeline")).lower()
            if pipeline not in KNOWN_SSM:
                raise Refused(
                    f"The classifiers support sub-solar-mass events of {' and '.join(KNOWN_SSM)}, not {pipeline}."
                )
            names = ("HasSSM", "HasNS", "HasMassGap")  # type: ignore[assignment]
            chirp_mass = (mass1 * mass2) ** 0.6 / (mass1 + mass2) ** 0.2
            values = em_bright.source_classification_ssm(*numbers, chirp_mass, asked["snr"], pipeline)
        else:
            names = ("HasNS", "HasRemnant", "HasMassGap")  # type: ignore[assignment]
            values = em_bright.source_classification(*numbers, asked["snr"])
    # Rounding can make weights add up to slightly more than one.
    return {name: min(1.0, max(0.0, float(value))) for name, value in zip(names, values, strict=True)}


def answer(em_bright: Any, line: str) -> dict[str, Any]:
    """Answer one question; return an error instead of raising it."""
    try:
        return {"properties": classify(em_bright, json.loads(line)), "version": version()}
    except Refused as error:
        return {"error": str(error)}
    except Exception as error:
        return {"error": f"The classifiers failed: {type(error).__name__}: {error}"}


def version() -> str:
    from ligo.em_bright import __version__

    return f"{PACKAGE} {__version__}"


def serve(folder: Path, path: str) -> None:
    """Answer questions at a Unix socket, one line each, until killed."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    em_bright = load(folder)
    with socket.socket(socket.AF_UNIX) as bell:
        bell.bind(path + ".new")
        bell.listen(64)
        os.rename(path + ".new", path)  # noqa: PTH104
        while True:
            caller, _ = bell.accept()
            caller.settimeout(10.0)
            with caller, contextlib.suppress(OSError), caller.makefile("rw") as stream:
                line = stream.readline()
                if line.endswith("\n"):
                    stream.write(json.dumps(answer(em_bright, line)) + "\n")


def main(action: str, folder: Path, *more: str) -> int:
    try:
        if action == "seed":
            print(json.dumps(seed(folder, *more)))
        elif action == "serve":
            serve(folder, *more)
        else:
            asked = KNOWN_CASE if action == "try" else json.loads(sys.stdin.read())
            print(json.dumps(answer(load(folder), json.dumps(asked))))
    except Refused as error:
        print(json.dumps({"error": str(error)}))
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
