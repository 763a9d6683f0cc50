"""Endpoint, TLS settings and credentials of a context, combined."""
