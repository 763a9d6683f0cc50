"""Helpers of every layer. They import only `model`, `reasons`, `errors` and each other."""
