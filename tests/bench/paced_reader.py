"""`python -m tests.bench.paced_reader MIB_S PORT…`: read from sources at a given rate.

A separate process, so that it does not disturb the process that measures. Each line on
stdin is answered with the bytes read so far.
"""

from __future__ import annotations

import socket
import sys
import threading
import time

_MIB = 1 << 20
_ENDLESS = 1 << 50
_BUFFER = _MIB


def main() -> None:
    """Read until stdin ends."""
    ports = [int(word) for word in sys.argv[2:]]
    each = float(sys.argv[1]) * _MIB / len(ports)
    counts = [0] * len(ports)

    def read(place: int) -> None:
        buffer = bytearray(_BUFFER)
        with socket.create_connection(("127.0.0.1", ports[place])) as sock:
            sock.sendall(b"%d\n" % _ENDLESS)
            begun = time.perf_counter()
            while count := sock.recv_into(buffer):
                counts[place] += count
                ahead = counts[place] / each - (time.perf_counter() - begun)
                if ahead > 0:
                    time.sleep(ahead)
                elif ahead < -1.0:  # what could not be had is not asked for later
                    begun -= ahead
        raise ConnectionError("the source has ended")

    for place in range(len(ports)):
        threading.Thread(target=read, args=(place,), daemon=True).start()
    for _ in sys.stdin:
        sys.stdout.write(f"{sum(counts)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
