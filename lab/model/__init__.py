"""Models of storage drivers: pure, deterministic, no I/O."""
