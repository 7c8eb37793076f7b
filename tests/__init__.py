"""Tests: `unit` (no process), `property` (hypothesis), `integration` (real servers), `acceptance` (real signals)."""

from __future__ import annotations
