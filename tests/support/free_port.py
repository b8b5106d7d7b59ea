"""A port of this machine that nothing listens on."""

import random
import socket


def free_port() -> int:
    """A port below those that the system hands out itself, so that no other test is given it before it is used."""
    for port in random.SystemRandom().sample(range(15_000, 32_000), 100):
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("100 ports are taken")
