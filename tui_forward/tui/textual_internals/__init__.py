"""Code that depends on undocumented parts of Textual, each with its reason.

Checked against Textual 8.2; pyproject.toml bounds the version. Nothing here depends on the
dashboard, and no other module overrides or reads a private part of Textual.
"""
