"""Comparison of two runs, checked against counting and scipy."""

import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from core.charset import TextSpec
from core.errors import TrainingError
from core.evaluation.comparison import Comparison, Kind, Paired, common, compare
from core.evaluation.predictions import Predictions

SPEC = TextSpec(3, "0123")


def reading_of(labels: dict[str, str], *, seed: int, skill: float, views: int = 3) -> Predictions:
    """Return readings of these images (hash, label). More skill makes more of them right."""
    random = np.random.default_rng(seed)
    scores_VNPC = random.normal(size=(views, len(labels), SPEC.length, SPEC.num_classes))
    for place, label in enumerate(labels.values()):
        for position, char in enumerate(SPEC.encode(label)):
            scores_VNPC[:, place, position, char] += skill
    log_probs_VNPC = scores_VNPC - np.log(np.exp(scores_VNPC).sum(axis=3, keepdims=True))
    return Predictions(
        sha256=list(labels), labels=list(labels.values()), views=[f"view {view}" for view in range(views)],
        log_probs_VNPC=log_probs_VNPC.astype(np.float32), step=7,
    )  # fmt: skip


def some_labels(n: int, seed: int = 0) -> dict[str, str]:
    digits = np.random.default_rng(seed).integers(0, 4, size=(n, SPEC.length))
    return {f"{place:064}": "".join(map(str, row)) for place, row in enumerate(digits)}


def read_of(predictions: Predictions, sha256: str, *, tta: bool) -> tuple[str, float]:
    """Return reading and confidence of one image."""
    log_probs_VPC = predictions.log_probs_VNPC[:, predictions.sha256.index(sha256)].astype(float)
    log_probs_PC = log_probs_VPC.mean(axis=0) if tta else log_probs_VPC[0]
    probs_PC = np.exp(log_probs_PC) / np.exp(log_probs_PC).sum(axis=1, keepdims=True)
    return "".join(SPEC.charset[row.argmax()] for row in probs_PC), math.prod(row.max() for row in probs_PC)


@pytest.fixture
def pair() -> tuple[Predictions, Predictions]:
    """Two runs with 300 common images in different order, 20 and 30 others, and 5 changed labels."""
    labels = some_labels(350)
    names = list(labels)
    first = {name: labels[name] for name in names[:320]}
    second = {name: labels[name] for name in [*reversed(names[:300]), *names[320:]]}
    for name in names[10:15]:
        second[name] = "000" if labels[name] != "000" else "111"
    return reading_of(first, seed=1, skill=2.0), reading_of(second, seed=2, skill=1.7)


@pytest.mark.parametrize("tta", [(False, False), (True, False), (True, True)])
def test_every_number_is_that_of_counting(pair: tuple[Predictions, Predictions], tta: tuple[bool, bool]) -> None:
    """Exact match, positions, loss, test and lists are recomputed image by image."""
    found = common(*pair)
    shown = compare(*pair, found, SPEC, tta=tta)

    kept = [pair[0].sha256[place] for place in found.places_N[0]]
    labels = dict(zip(pair[0].sha256, pair[0].labels, strict=True))
    assert kept == [pair[1].sha256[place] for place in found.places_N[1]]
    assert kept == [f"{place:064}" for place in range(300) if not 10 <= place < 15]
    texts = [[read_of(run, name, tta=views) for name in kept] for run, views in zip(pair, tta, strict=True)]
    right = [[text == labels[name] for (text, _), name in zip(run, kept, strict=True)] for run in texts]
    b = sum(one and not other for one, other in zip(*right, strict=True))
    c = sum(other and not one for one, other in zip(*right, strict=True))
    assert b
    assert c

    assert [score.correct for score in shown.scores] == [sum(run) for run in right]
    for run, score in zip(texts, shown.scores, strict=True):
        exact = binomtest(score.correct, 295).proportion_ci(0.95, "exact")
        assert score.ci95 == pytest.approx((exact.low, exact.high))
        assert score.per_position_correct == [
            sum(text[position] == labels[name][position] for (text, _), name in zip(run, kept, strict=True))
            for position in range(3)
        ]
    paired = shown.paired
    assert (paired.n, paired.both, paired.only_first, paired.only_second) == (
        295,
        sum(map(all, zip(*right, strict=True))),
        b,
        c,
    )
    assert paired.p == pytest.approx(binomtest(b, b + c, 0.5).pvalue)
    at = shown.paired_at(1)
    assert at.both + at.only_first == shown.scores[0].per_position_correct[1]
    assert at.both + at.only_second == shown.scores[1].per_position_correct[1]

    kinds: dict[Kind, list[tuple[float, int]]] = {"first": [], "second": [], "differently": [], "same": []}
    for place, name in enumerate(kept):
        (one, sure), (other, sure_other) = texts[0][place], texts[1][place]
        wrong = [s for s, text in ((sure, one), (sure_other, other)) if text != labels[name]]
        if wrong:
            kind: Kind
            if len(wrong) == 2:
                kind = "same" if one == other else "differently"
            else:
                kind = "first" if one == labels[name] else "second"
            kinds[kind].append((-max(wrong), place))
    for kind, listed in kinds.items():
        places = shown.disagreements(kind)
        assert sorted(places.tolist()) == sorted(place for _, place in listed), kind
        scores = {place: score for score, place in listed}
        assert [scores[place] for place in places.tolist()] == pytest.approx(sorted(scores.values()), abs=1e-6)


def test_log_loss_is_the_mean_over_characters(pair: tuple[Predictions, Predictions]) -> None:
    """It covers the common images, without TTA."""
    found = common(*pair)
    shown = compare(*pair, found, SPEC, tta=(False, False))

    for run, places_N, score in zip(pair, found.places_N, shown.scores, strict=True):
        losses = [
            -run.log_probs_VNPC[0, place, position, char]
            for place in places_N
            for position, char in enumerate(SPEC.encode(run.labels[place]))
        ]
        assert score.nll == pytest.approx(np.mean(losses), rel=1e-5)


def test_excluded_images_are_reported(pair: tuple[Predictions, Predictions]) -> None:
    """The sentence is empty if no image is excluded."""
    assert common(*pair).sentence("0001-fast", "0002-fast") == (
        "Compared on 295 images that both evaluated with the same label. Excluded: 20 only in 0001-fast, 30 only in "
        "0002-fast, 5 with different labels."
    )
    assert common(pair[0], pair[0]).sentence("a", "b") == ""


def test_nothing_in_common_is_refused() -> None:
    """The error is one sentence."""
    labels = some_labels(20)
    first = reading_of(labels, seed=1, skill=2)
    others = {f"{place:064x}": label for place, label in enumerate(labels.values(), 100_000)}
    changed = {name: "000" if label != "000" else "111" for name, label in labels.items()}

    for second in (reading_of(others, seed=1, skill=2), reading_of(changed, seed=1, skill=2)):
        with pytest.raises(TrainingError, match="no evaluated image with the same label in common"):
            common(first, second)


def paired(n: int, b: int, c: int) -> Paired:
    return Paired(n=n, both=n - b - c, only_first=b, only_second=c, p=float(binomtest(b, b + c, 0.5).pvalue))


def test_the_verdict_is_a_sentence() -> None:
    """It names the better run, or the images needed to find it."""
    assert paired(610, 24, 6).verdict("A", "B") == (
        "A is significantly better. Of 610 images, 24 are right only with A and 6 only with B "
        "(exact McNemar test, p = 0.0014)."
    )
    assert "p < 0.0001" in paired(610, 90, 6).verdict("A", "B")
    assert paired(610, 6, 24).verdict("A", "B").startswith("B is significantly better. Of 610 images, 24 are")
    assert paired(610, 8, 5).verdict("A", "B") == (
        "The difference is not significant. Of 610 images, 8 are right only with A and 5 only with B "
        "(exact McNemar test, p = 0.58). At these rates, about 6,900 images would show it."
    )
    assert paired(610, 5, 5).verdict("A", "B").endswith("p = 1).")
    assert "Of 12 images, 1 is right only with A and 0 only with B" in paired(12, 1, 0).verdict("A", "B")
    same = Paired(n=610, both=600, only_first=0, only_second=0, p=1.0)
    assert same.verdict("A", "B") == ("No difference: both read the same 600 of 610 images right.")


@pytest.mark.parametrize(("b", "c"), [(8, 5), (4, 1), (60, 40)])
def test_so_many_images_show_the_difference_four_times_in_five(b: int, c: int) -> None:
    """Compute the power of the exact test at that size, summed over all outcomes."""
    needed = paired(610, b, c).images_needed
    assert needed is not None
    apart, share = (b + c) / 610, b / (b + c)

    power = 0.0
    sizes = np.arange(binom.ppf(1e-6, needed, apart), binom.ppf(1 - 1e-6, needed, apart) + 1).astype(int)
    for size in sizes:
        # The largest count on one side that is still significant in the two-sided test.
        tail = binom.ppf(0.025, size, 0.5) - 1
        while binom.cdf(tail + 1, size, 0.5) <= 0.025:
            tail += 1
        shown = binom.cdf(tail, size, share) + binom.sf(size - tail - 1, size, share)
        power += binom.pmf(size, needed, apart) * shown
    assert 0.74 < power < 0.86


def test_a_comparison_of_a_run_with_itself_shows_nothing() -> None:
    """All errors have the same reading."""
    run = reading_of(some_labels(50), seed=3, skill=1.0)
    shown: Comparison = compare(run, run, common(run, run), SPEC, tta=(False, False))

    assert [len(shown.disagreements(kind)) for kind in ("first", "second", "differently")] == [0, 0, 0]
    assert len(shown.disagreements("same")) == 50 - shown.scores[0].correct
