"""Bundles: size, single images, batches, and the service."""

from collections.abc import Mapping
from typing import Any

from bench import bundle, quiet
from bench.one_image import INT8, MODEL
from bench.reliability.batch import TARGET
from bench.tables.markdown import Results, bold_unless_zero, table
from core.evaluation.percent import counted


def bundles_table(results: Results) -> str:
    """Return the figures of each bundle that have a target. Those that miss it are bold."""
    head = [
        "bundle", f"model, at most {bundle.MOST['model_mb']:g} MB", f"INT8, {bundle.MOST['int8_mb']:g} MB",
        f"the rest, {bundle.MOST['rest_mb']:g} MB", "images read as the run does", "the same, INT8",
        f"from import to first answer, {bundle.MOST['first_answer_s']:g} s",
        f"its packages, {bundle.MOST['installed_mb']:g} MB",
    ]  # fmt: skip

    def row(name: str, result: Mapping[str, Any]) -> list[str]:
        def figure(key: str, unit: str) -> str:
            value = result["figures"][key]
            text = "none" if value is None else f"{value:.2f} {unit}"
            return f"**{text}**" if key in result["missed"] else text

        equal = result["equal"]
        same = [
            counted(equal["n"] - equal["differing"][model], equal["n"]) if model in equal["differing"] else "none"
            for model in (MODEL, INT8)
        ]
        same[0] = f"**{same[0]}**" if "differing" in result["missed"] else same[0]
        views = f", {equal['views']} views" if equal["views"] > 1 else ""
        return [
            f"`{name}`, {result['run']}{views}", *(figure(f"{key}_mb", "MB") for key in (MODEL, INT8, "rest")), *same,
            figure("first_answer_s", "s"), figure("installed_mb", "MB"),
        ]  # fmt: skip

    rows = [row(name, result) for name, result in sorted(results.items())]
    return table(head, rows or [["not run", *[""] * (len(head) - 1)]])


def one_image_table(results: Results) -> str:
    """Return the time of a single image for each reader of each bundle, beside the float model of the bundle."""
    most, least = bundle.MOST, bundle.LEAST["times_faster"]
    head = ["one image at a time", "reader"]
    head += [f"p50, at most {most['model_p50_ms']:g} ms, INT8 {most['int8_p50_ms']:g} ms", "p90"]
    head += [f"p99, at most {most['model_p99_ms']:g} ms", "CPU", "right"]
    head += [f"p50 beside the bundle's, general readers at least {least:g} times", "machine"]
    titles = {MODEL: "bundle", INT8: "bundle, INT8"}

    def row(name: str, reader: str, result: Mapping[str, Any]) -> list[str]:
        times, model = result["one_image"][reader], result["one_image"][MODEL]

        def ms(quantile: str) -> str:
            text = f"{times['ms'][quantile]:.2f} ms"
            return f"**{text}**" if f"{reader}_{quantile}_ms" in result["missed"] else text

        times_slower = times["ms"]["p50"] / model["ms"]["p50"]
        ratio = "" if reader == MODEL else f"{times_slower:.1f} times"
        if reader not in titles and times_slower < least:
            ratio = f"**{ratio}**"
        right = counted(times["right"], times["n"])
        where = quiet.described(result["machine"]) if reader == MODEL else ""
        return [f"`{name}`", titles.get(reader, reader), *map(ms, ("p50", "p90", "p99")), f"{times['cpu_ms']:.2f} ms",
                right, ratio, where]  # fmt: skip

    rows = [row(name, reader, result) for name, result in sorted(results.items()) for reader in result["one_image"]]
    return table(head, rows or [["not run", *[""] * (len(head) - 1)]])


def batch_table(results: Results) -> str:
    """Return the rate of a batch without kills, and what was wrong after the kills."""
    head = ["model", "images a second, without kills", f"a CPU second, at least {TARGET}", "peak memory", "kills"]
    head += ["files once each", "read again and compared", "wrong", "machine"]
    rows = []
    for name, result in results.items():
        if not name.startswith("batch"):
            continue
        rate = result["without_kills"]
        by_cpu = f"{rate['images_a_cpu_second']:.0f}"
        rows.append(
            [
                "INT8" if result["int8"] else "float",
                f"{rate['images_a_second']:.0f} by {result['jobs']} processes",
                f"**{by_cpu}**" if rate["images_a_cpu_second"] < TARGET else by_cpu,
                f"{rate['peak_mb']:,.0f} MB",
                ", ".join(f"{n} {victim}" for victim, n in result["kills"].items()),
                f"{result['files']:,}, in {result['seconds_with_kills']:,.0f} s",
                f"{result['compared']:,}",
                bold_unless_zero(len(result["wrong"])),
                quiet.described(rate["machine"]),
            ]
        )
    return table(head, rows or [["not run", *[""] * (len(head) - 1)]])


def service_table(results: Results) -> str:
    """Return capacity, latency and the answers under overload of the service on one core."""
    head = [
        "model",
        "CPU an image",
        "capacity",
        "50 requests/s",
        "64 clients",
        "64 clients, queue of 16",
        "memory",
        "load",
    ]
    rows = [
        [
            f"INT8, {result['seconds']:g} s" if result["int8"] else f"float, {result['seconds']:g} s",
            f"{result['capacity']['cpu_ms_an_image']:.2f} ms",
            f"{result['capacity']['answered_a_second']:.0f} images/s",
            "p50 {p50:.1f} ms, p99 {p99:.1f} ms".format(**result["at_50_a_second"]["ms"]),
            f"{_statuses(result['overload'])}; {100 * result['overload_share_of_capacity']:.0f}% of capacity",
            _statuses(result["refusals"]),
            f"{result['overload']['memory_mb']:.0f} MB, {result['overload']['memory_mb_a_minute']:+.1f} MB a minute",
            f"{result['other_load']:g} on {result['hardware']['cores']} cores",
        ]
        for name, result in results.items()
        if name.startswith("service")
    ]
    return table(head, rows or [["not run", *[""] * (len(head) - 1)]])


def _statuses(load: Mapping[str, Any]) -> str:
    statuses = [f"{count:,} x {status}" for status, count in load["statuses"].items()]
    return ", ".join([*statuses, *[f"**{load['lost']:,} lost**"] * bool(load["lost"])])
