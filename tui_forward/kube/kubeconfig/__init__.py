"""Load, merge and reload kubeconfig files, and write refreshed tokens back."""
