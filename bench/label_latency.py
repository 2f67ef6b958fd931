"""How long an operator waits: from the key that completes a label to the next image on the screen.

Needs Chromium and the test extra. From the repository root:

    PYTHONPATH=. python bench/label_latency.py

Starts the app on a folder of its own with rendered images, types labels at ten keys a second, and prints one JSON
object. A time runs from the key's own time stamp to the first frame painted with the next image, decoded, and empty
slots; server and browser share the machine.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS, Lab

# The listener stands on window before the widget's own, so it sees each key first.
PROBE = """
window.latencies = [];
window.addEventListener("keydown", (event) => {
  const widget = () => document.querySelector("[data-testid=labeler]");
  const before = widget()?.dataset.sample;
  const frame = () => {
    const img = widget().querySelector("img");
    if (widget().dataset.sample === before) return;
    if (!img?.complete || widget().querySelector(".slots").textContent) return requestAnimationFrame(frame);
    // A message that was queued in a frame is handled after that frame has been painted.
    const painted = new MessageChannel();
    painted.port1.onmessage = () => window.latencies.push(performance.now() - event.timeStamp);
    painted.port2.postMessage(0);
  };
  requestAnimationFrame(frame);
}, true);
"""


def measure(n: int, delay_ms: float, warmups: int = 3) -> list[float]:
    """Milliseconds for each of `n` labels."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        lab = Lab(Path(folder))
        project = lab.make_project("bench", n + warmups + 1)
        lab.start()
        try:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
            page = browser.new_page()
            page.add_init_script(PROBE)
            page.goto(f"{lab.url}/label?project={project.name}")
            page.wait_for_selector("[data-testid=labeler][data-ready=true]")
            for index in range(n + warmups):
                page.keyboard.type(f"{index:06}", delay=delay_ms)
            page.wait_for_selector("[data-testid=labeler][data-unsaved='0']")
            latencies: list[float] = page.evaluate("window.latencies")
            browser.close()
            saved = len(lab.labels(project))
        finally:
            lab.kill()
    if saved != n + warmups or len(latencies) != n + warmups:
        raise SystemExit(f"{saved} labels saved and {len(latencies)} timed of {n + warmups} typed.")
    return latencies[warmups:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels", type=int, default=60)
    parser.add_argument("--delay-ms", type=float, default=100, help="between two keys")
    arguments = parser.parse_args()
    latencies = sorted(measure(arguments.labels, arguments.delay_ms))
    result = {
        "n": len(latencies),
        "median_ms": round(statistics.median(latencies), 1),
        "p95_ms": round(latencies[int(0.95 * (len(latencies) - 1))], 1),
        "max_ms": round(latencies[-1], 1),
        "delay_ms": arguments.delay_ms,
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
