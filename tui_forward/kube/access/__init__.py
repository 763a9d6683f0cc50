"""Endpoint, TLS settings and credentials of a context, put together."""
