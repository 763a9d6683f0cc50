"""Random numbers for pauses and timeouts, so that not all clients of a server act at once.

Python's functions `random.random`, `random.uniform` and so on share one generator per process. The
library runs in threads of a user's program or test, whose sequence after `random.seed` must stay
the user's: Hypothesis, for example, fails a test during which another thread draws a number.
"""

from __future__ import annotations

import random
from typing import Final

# Without a state: safe in threads, and other numbers in each fork.
JITTER: Final = random.SystemRandom()
