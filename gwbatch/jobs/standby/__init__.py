"""Warm standby on a node: a pilot that has imported the science stack and forks a child for every task it takes.

`layout` describes the folder that the dispatcher and the pilots share.  `channel` and `chirp` are the two ways to reach
it from a node, and `pilot` is the program.
"""

from __future__ import annotations
