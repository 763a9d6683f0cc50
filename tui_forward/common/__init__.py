"""Helpers that every layer may use. They import only `model`, `errors` and each other."""
