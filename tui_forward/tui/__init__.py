"""The dashboard: a screen over a session whose engine runs in another process.

Nothing here imports the engine or a Kubernetes client: the screen's process stays small and
free for drawing. Textual is imported here only.
"""
