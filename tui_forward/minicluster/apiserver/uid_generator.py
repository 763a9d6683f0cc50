"""Generator of UIDs, name suffixes and addresses."""

from __future__ import annotations

import random
import uuid

# Characters of generated names: no vowels, which would form words, and no look-alikes.
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class UidGenerator:
    """Generates UIDs, name suffixes and addresses; reproducibly if seeded."""

    def __init__(self, seed: int | None = None) -> None:
        # Separate streams, so that the number of events does not change the names of pods.
        def stream(name: str) -> random.Random:
            return random.SystemRandom() if seed is None else random.Random(f"{seed} {name}")

        self._names, self._uids, self._octets = map(stream, ("names", "uids", "octets"))

    def uid(self) -> str:
        """Return a new UID."""
        return str(uuid.UUID(int=self._uids.getrandbits(128), version=4))

    def suffix(self, length: int = 5) -> str:
        """Return the random suffix of a generated name."""
        return "".join(self._names.choices(ALPHABET, k=length))

    def octet(self) -> int:
        """Return a random octet of an address."""
        return self._octets.randrange(1, 255)
