"""Settings as data: the science policy (`policy`) and the site profile (`profile`), with each value's origin."""

from __future__ import annotations
