"""A dashboard and engine for Kubernetes port-forwards that stay up."""
