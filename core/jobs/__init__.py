"""Background jobs: their directory, lock, order, runner and worker side, and how they are started and ended."""
