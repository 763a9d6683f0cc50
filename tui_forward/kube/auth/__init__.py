"""Credentials of a kubeconfig user."""
