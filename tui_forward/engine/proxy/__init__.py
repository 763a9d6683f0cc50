"""Cluster proxy: one local port for every service and pod of a cluster, by name."""
