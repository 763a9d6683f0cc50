"""The pictures of the dashboard, and how they are taken: see `__main__`."""
