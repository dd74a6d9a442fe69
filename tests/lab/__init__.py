"""The router lab: a real miniupnpd with real NAT in network namespaces, unprivileged. Uses nothing of txigd."""
