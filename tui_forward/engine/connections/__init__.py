"""One TCP connection of a client, from accept to close."""
