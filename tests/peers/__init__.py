"""Peers: other authors' programs driving the simulated gateway, other authors' devices driven by txigd."""
