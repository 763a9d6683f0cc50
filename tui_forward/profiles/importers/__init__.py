"""Importers: forwards out of scripts, notes, and the files of other programs."""
