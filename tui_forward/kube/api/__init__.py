"""REST client, lists, watches and the API types."""
