"""A simulated gateway over real sockets, for tests and demonstrations."""
