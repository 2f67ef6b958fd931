"""Exact match by number of labels: the data of the app and the figure are those of the committed cells."""

from typing import Any

from bench import labels
from bench.accuracy.accuracy import CELLS
from bench.accuracy.data import SETS as IMAGE_SETS
from bench.cells import RESULTS, load_results
from bench.tables.starts import labels_table
from core.runs.label_curve import Point, nines, points_of


def test_the_committed_data_and_figures_match_the_results() -> None:
    """`python -m bench.labels --write` would change nothing."""
    for path, text in labels.files(load_results(RESULTS / "accuracy")).items():
        assert path.read_text(encoding="utf-8") == text, path.name


def test_every_point_has_cells_with_as_many_labels() -> None:
    """Counts, starts and seeds are those of the cells."""
    cells = {cell.name: cell for cell in CELLS}
    points = list(labels.planned())

    assert {(point.images, point.start, point.count) for point in points} >= {
        (images, start, count) for images in labels.SETS for start in labels.STARTS for count in (50, 200, 1000)
    }
    for point in points:
        assert len(point.cells) == (3 if point.count is None or point.count <= 200 else 1)
        for name in point.cells:
            images = IMAGE_SETS[cells[name].images]
            assert (images.few or images.typed or None) == point.count
            assert images.taught == (point.start == "readers")
            assert cells[name].config().init == ("scratch" if point.start == "scratch" else "rendered")


def result(k: int, steps: int = 1500) -> dict[str, Any]:
    figures = {"test": {"audited": {"tta": {"k": k, "n": 100}}}}
    return {"data": {"n": {"train": 45, "val": 5, "test": 100}}, "splits": figures, "steps": steps}


def test_a_point_is_the_mean_of_its_seeds() -> None:
    """The interval is that of one seed, because all seeds read the same images."""
    results = {f"digits4-50-scratch-seed{seed}": result(k) for seed, k in enumerate((90, 93, 93))}
    (point,) = points_of(labels.curve(results))

    assert point == Point("digits4", "scratch", 50, (90, 93, 93), 100)
    assert point.text == "92.0% (84.8% to 96.5%); 90, 93, 93 of 100"


def test_a_point_that_lacks_a_seed_is_only_in_the_table() -> None:
    """The figure and the app leave it out, and so they do if its seeds have different steps."""
    results = {f"digits4-50-scratch-seed{seed}": result(k) for seed, k in enumerate((90, 93))}
    text = "91.5% (84.8% to 96.5%); 90, 93 of 100"
    lines = [line for line in labels.listing(results) if line.startswith("digits4   scratch      50")]

    assert labels.curve(results) == []
    assert lines == [f"digits4   scratch      50  {text} --only 'digits4-50-scratch-seed*': 1 of 3 cells missing"]
    assert f"{text}; 1 seed not run" in labels_table(results)
    assert labels.curve(results | {"digits4-50-scratch-seed2": result(93, steps=500)}) == []


def test_the_figure_has_a_dot_for_each_point_and_a_dash_for_each_seed() -> None:
    """A line needs two points. A tenth of the errors is a step of the same height."""
    points = [Point("henan4", "scratch", count, right, 100) for count, right in ((50, (89, 91)), (200, (99,)))]
    text = labels.svg(points, labels.THEMES["dark"])

    assert text.count("<circle") == 2
    assert text.count("<polyline") == 1
    assert text.count("h12") == 2
    assert [round(nines(share), 3) for share in (0, 0.9, 0.99, 1)] == [0, 1, 2, 3]
