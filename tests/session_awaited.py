"""What the sessions could do to the control point, and it does not bear yet: left out until it does.

A name here is that of an end in :mod:`tests.session_ends`, of the fault of the same name, of the habit of a gateway,
and of what ``tests/test_session_finds.py`` marks with it. Empty, all of it counts.
"""

from __future__ import annotations

from typing import Final

AWAITED: Final[frozenset[str]] = frozenset()
