"""The dictionary is the published one, to the byte."""

from __future__ import annotations

import hashlib
import zlib

from tui_forward.protocol.spdy.dictionary import SPDY3_DICTIONARY


def test_dictionary_is_the_published_one() -> None:
    assert len(SPDY3_DICTIONARY) == 1423
    assert zlib.adler32(SPDY3_DICTIONARY) == 0xE3C6A7C2
    assert (
        hashlib.sha256(SPDY3_DICTIONARY).hexdigest()
        == "51d27341373f923f3cd88e1eb7162aeaa3723d7585ff2399201dc06498407f02"
    )
