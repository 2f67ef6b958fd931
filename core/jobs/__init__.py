"""Background jobs: directory, lock, queue, runner, worker and control."""
