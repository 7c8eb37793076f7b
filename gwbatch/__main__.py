"""Entry point of ``python -m gwbatch``, which is the same as ``gwbatch``."""

from __future__ import annotations

from gwbatch.cli import main

if __name__ == "__main__":
    main()
