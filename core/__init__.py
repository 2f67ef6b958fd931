"""Slotlab's rules and numbers: everything that can be tested without a browser."""

import os

# Read by OpenMP when torch is loaded, so it stands where no import of ours can come before it. Idle threads then sleep
# instead of spinning: a training step of preset fast on two virtual cores takes 0.26 s instead of 3.1 s.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# But not at once: a wait of some 20 microseconds bridges the gap to the next operation. On two quiet cores a step takes
# 3 to 38% less by it, depending on network and image size; beside two busy processes it makes no difference.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
