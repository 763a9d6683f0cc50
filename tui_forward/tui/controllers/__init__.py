"""Turn messages of screens into calls of the session, and sample the session."""
