"""Slotlab without the browser: data, training, evaluation, jobs and the command line."""

import os

# OpenMP reads this when torch loads, so it must be set before any of our imports. Idle threads then sleep instead of
# spinning: a training step of preset fast on two virtual cores takes 0.26 s instead of 3.1 s.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Spin for about 20 microseconds before sleeping, to bridge the gap to the next operation. On two idle cores a step is
# 3 to 38% faster, depending on network and image size. Next to two busy processes it makes no difference.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
# From 1.29 on, onnxruntime writes a device id and sends events to Microsoft unless this is set before it loads.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
