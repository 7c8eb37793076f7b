"""Warm standby on a node: a pilot that has imported the science, and forks a child for every task that it takes.

`layout` is the folder that dispatcher and pilots share, `channel` and `chirp` are the two ways to it from a node, and
`pilot` is the program.
"""

from __future__ import annotations
