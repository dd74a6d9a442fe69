"""Peers: other authors' programs driving the simulated gateway, other authors' devices driven by txigd.

Which they are, and why aioupnp is none of them, stands in docs/dependencies.md.
"""
