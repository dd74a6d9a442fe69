"""Every action of the standard through its typed method: on a device of our own, the simulator, the real router."""
