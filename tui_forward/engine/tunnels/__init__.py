"""Upgraded connections to a pod: SPDY and WebSocket tunnels, and their pool."""
