"""Diagnosis of a run, in words, with advice.

It is a function of the files in the run's directory. So page and terminal agree, and it covers past runs and runs
whose worker was killed and could not report.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any, Literal

from core.charset import TextSpec
from core.errors import Cause
from core.evaluation.metrics import interval95
from core.evaluation.percent import percent, share_and_interval
from core.model.config import TrainConfig
from core.training.guessing import Guessing
from core.words import plural

State = Literal[
    "starting",
    "plateau",
    "learning",
    "dead_head",
    "constant_reading",
    "overfitting",
    "misaligned",
    "diverging",
    "non_finite",
    "out_of_memory",
    "finished",
]
Line = dict[str, Any]

CALM: frozenset[State] = frozenset(("starting", "plateau", "learning", "finished"))
PLATEAU_STEPS = 300
"""Real portals leave the plateau at steps 50 to 300 with the preset fast."""
PLATEAU_SHARE = 0.2
"""Fraction of the planned steps. Longer runs warm up longer, so they may stay at chance longer."""
AGREE = "agree with the readers"
"""Right, on validation images without labels of people."""
MIN_LOSS_IMAGES = 20
"""Fewest validation images whose mean loss is compared. A single one of fewer can decide it."""
WINDOW = 20
"""Logged steps that count together, because single batches are noisy."""
MEMORIZED_RATIO = 0.7
"""A training loss below this fraction of the loss of guessing is not a plateau."""
POOR = 0.5
"""Share of right validation images below which a finished run is of no use."""
FEW_IMAGES = "So few validation images say little: label more images."
COMPARE = "Compare labels and images on the Samples page: a CSV may be shifted by a row, or files sorted differently."


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """State of a run, with a sentence and advice."""

    state: State
    sentence: str
    """The observation, with figures."""
    advice: str = ""
    """The next step for the user, or empty. Options stand between backticks, see core.model.config.with_titles."""
    overdue: bool = False
    """True if a plateau lasts longer than expected."""
    poor: bool = False
    """True if a finished run reads less than half of the validation images."""

    @property
    def text(self) -> str:
        return f"{self.sentence} {self.advice}".rstrip()

    @property
    def key(self) -> str:
        """Return a key that ignores the figures."""
        return f"{self.state}{' overdue' * self.overdue}"

    @property
    def title(self) -> str:
        return self.state.replace("_", " ").capitalize()

    @property
    def worrying(self) -> bool:
        return self.overdue or self.poor or self.state not in CALM


def diagnose(
    lines: Sequence[Line],
    *,
    spec: TextSpec,
    config: TrainConfig,
    steps: int,
    state: str = "running",
    cause: Cause | None = None,
    reason: str | None = None,
    image_size: Sequence[int] | None = None,
    reference: str = "people",
    guessing: Guessing | None = None,
) -> Diagnosis:
    """Return the diagnosis of a run. It never stops the run.

    `lines` come from metrics.jsonl. `config` has the learning rate that the run chose. `steps` is the plan. `state`,
    `cause` and `reason` are the job's. `image_size` is the chosen input size. `reference` tells what right means on
    validation images. `guessing` comes from the run's choices; without it, all characters count as equally frequent.

    No diagnosis relies on validation images that also allow its opposite. So few of them give no diagnosis.
    """
    if state == "failed" and (failure := _failure(config, cause, reason or "", image_size or config.image_size)):
        return failure
    history = _History(lines, spec, config, steps, reference, guessing or Guessing.uniform(spec))
    if not history.steps:
        return Diagnosis(state="starting", sentence="No step has been logged yet.")
    if history.val and history.val[-1]["loss"] is None:
        return Diagnosis(
            state="non_finite",
            sentence=f"The validation loss at step {history.val[-1]['step']:,} is not a finite number.",
            advice=_lower_lr(config),
        )
    # The most general explanation comes first: at chance, all positions are dead and all readings are similar.
    for check in (_diverging, _memorized, _constant_reading, _plateau, _dead_head, _overfitting):
        if diagnosis := check(history):
            return diagnosis
    return _finished(history) if state == "finished" and history.val else _learning(history)


REQUIRED = {"step": {"step", "loss"}, "val": {"step", "loss", "correct", "n", "per_position"}}
"""Values that a line of each kind has, or it is damaged."""


def lines_of_kind(lines: Sequence[Line], kind: str) -> list[Line]:
    """Return the lines of a kind by step, without damaged ones.

    A resumed run repeats steps, and its new lines replace the old ones.
    """
    valid: list[Line] = []
    for line in lines:
        if line.get("kind") == kind and line.keys() >= REQUIRED[kind]:
            while valid and valid[-1]["step"] >= line["step"]:
                valid.pop()
            valid.append(line)
    return valid


class _History:
    """Lines of a run, with the chance level and the expected plateau."""

    def __init__(
        self,
        lines: Sequence[Line],
        spec: TextSpec,
        config: TrainConfig,
        steps: int,
        reference: str,
        guessing: Guessing,
    ) -> None:
        self.config = config
        by_people = reference == "people"
        self.right, self.are_right = ("right", "are right") if by_people else (AGREE, AGREE)
        self.steps, self.val = lines_of_kind(lines, "step"), lines_of_kind(lines, "val")
        self.length, self.classes = spec.length, spec.num_classes
        self.guessing = guessing
        self.step: int = max((line["step"] for line in self.steps[-1:] + self.val[-1:]), default=0)
        self.planned = max(steps, self.step)
        self.expected = max(PLATEAU_STEPS, round(PLATEAU_SHARE * self.planned))
        """Step by which a model that learns is better than chance."""

    def guesses(self, line: Line) -> bool:
        """Return whether a validation may be guessing, at each position and overall. Overall is stricter."""
        shares: list[float] = line["per_position"]
        overall = _may_guess(fmean(shares), line["n"] * self.length, self.guessing.share)
        return overall and all(
            _may_guess(share, line["n"], chance) for share, chance in zip(shares, self.guessing.shares, strict=True)
        )

    def certainly_guesses(self, line: Line) -> bool:
        """Return whether a validation may be guessing and cannot be halfway to all right."""
        high = _interval(fmean(line["per_position"]), line["n"] * self.length)[1]
        return _enough(line["n"]) and self.guesses(line) and high < _halfway(self.guessing.share)

    def recent(self) -> list[Line]:
        """Return the validations of the last fifth of the steps, at least two, or none if there are fewer than two."""
        late = [line for line in self.val if line["step"] >= 0.8 * self.val[-1]["step"]]
        return [] if len(self.val) < 2 else late if len(late) > 1 else self.val[-2:]

    def loss(self, until: int | None = None) -> float:
        """Return the median training loss of WINDOW logged steps up to `until`. A mean would follow spikes."""
        known: list[float] = [line["loss"] for line in self.steps if until is None or line["step"] <= until]
        return float(median(known[-WINDOW:] or [self.steps[0]["loss"]]))

    def accuracy(self) -> float:
        """Return the mean training accuracy over WINDOW logged steps."""
        return fmean(line["accuracy"] for line in self.steps[-WINDOW:])

    def done(self) -> str:
        return f"{self.step:,} of {plural(self.planned, 'step')}"


def _interval(share: float, n: int) -> tuple[float, float]:
    return interval95(round(share * n), n)


def _halfway(chance: float) -> float:
    return (1 + chance) / 2


def _enough(n: int) -> bool:
    """Return whether n images, all read alike, show more than one reading by accident: from 6 on."""
    return interval95(0, n)[1] < 0.5


def _may_guess(share: float, n: int, chance: float) -> bool:
    """Return whether guessing may get `share` of n characters right.

    The frequencies in val differ a little from those in train, so a margin of 5% is added. All right is never guessing,
    even on few images.
    """
    return share < 1 and _interval(share, n)[0] <= chance + (1 - chance) / 20


def _failure(config: TrainConfig, cause: Cause | None, reason: str, size: Sequence[int] | None) -> Diagnosis | None:
    """Return the diagnosis of a failed job by its cause, if known."""
    if cause == "non_finite":
        return Diagnosis(state="non_finite", sentence=reason, advice=_lower_lr(config))
    if cause == "out_of_memory":
        pixels = f" (now {size[0]}x{size[1]})" if size else ""
        return Diagnosis(
            state="out_of_memory",
            sentence=reason,
            advice="Resuming would use the same settings. Start a new run with a smaller `batch_size` (now "
            f"{config.batch_size}) or `image_size`{pixels}.",
        )
    return None


def _lower_lr(config: TrainConfig) -> str:
    lr = config.rate_of({})
    return f"Start a new run with a tenth of the `lr` ({lr / 10:g} instead of {lr:g})."


def _diverging(history: _History) -> Diagnosis | None:
    """Detect a loss far above ln C: confidence in wrong readings grows. Every run begins near ln C."""
    start = math.log(history.classes)
    if len(history.steps) < WINDOW or history.loss() <= 2 * start:
        return None
    return Diagnosis(
        state="diverging",
        sentence=f"The median training loss is {history.loss():.3f} after {history.done()}, far above guessing "
        f"({start:.3f}).",
        advice=_lower_lr(history.config),
    )


def _memorized(history: _History) -> Diagnosis | None:
    """Detect a model that knows the training images and is at chance on all others."""
    recent = history.recent()
    if not recent or not all(map(history.certainly_guesses, recent)):
        return None
    # The validated weights are averages that lag behind, so compare with the training loss at half of the steps.
    if history.loss(until=history.step // 2) >= MEMORIZED_RATIO * history.guessing.loss:
        return None
    return Diagnosis(
        state="misaligned",
        sentence=f"Memorized: the median training loss is {history.loss():.3f} after {history.done()}, but every "
        f"position is at chance on the validation images ({_characters(recent[-1])} of the characters {history.right}, "
        f"guessing gives {percent(history.guessing.share, 0)}).",
        advice=f"{COMPARE} If they match, label more images.",
    )


def _constant_reading(history: _History) -> Diagnosis | None:
    """Detect one reading for all images. During the expected plateau this is normal."""
    recent = history.recent()
    if history.step <= history.expected or not recent or not all(_is_constant(line, history) for line in recent):
        return None
    n, readings, config = recent[-1]["n"], recent[-1]["answers"], history.config
    texts = "the same text" if readings == 1 else f"one of {readings} texts"
    others = f"{', `crop=false`' * config.crop} or `ink={'false' if config.ink else 'true'}`"
    return Diagnosis(
        state="constant_reading",
        sentence=f"All {n} validation images are read as {texts} after {history.done()}. Median training loss "
        f"is {history.loss():.3f}, guessing gives {history.guessing.loss:.3f}.",
        advice="Check on the Samples page that the images show their texts. If they do, start a new run with another "
        f"`lr` (now {config.rate_of({}):g}){others}.",
    )


def _is_constant(line: Line, history: _History) -> bool:
    """Return whether almost all readings are equal, and enough images show another text."""
    possible = min(line["n"], history.classes**history.length)
    readings: int = line.get("answers", possible)  # runs of earlier versions did not count them
    few = readings == 1 or (readings <= possible // 20 and line["correct"] < 0.5 * line["n"])
    return few and _enough(line["n"] - line["correct"])


def _plateau(history: _History) -> Diagnosis | None:
    loss = history.loss()
    # The last validation may be old, so check the training loss too.
    if loss < MEMORIZED_RATIO * history.guessing.loss or (history.val and not history.guesses(history.val[-1])):
        return None
    right = _characters(history.val[-1]) if history.val else percent(history.accuracy(), 0)
    characters = f"validation characters {history.right}" if history.val else "training characters right"
    sentence = (
        f"At chance after {history.done()}: median training loss {loss:.3f} (guessing gives "
        f"{history.guessing.loss:.3f}), {right} of the {characters} (guessing gives "
        f"{percent(history.guessing.share, 0)})."
    )
    if history.step <= history.expected:
        return Diagnosis(state="plateau", sentence=sentence, advice=_patience(history))
    crop = " or `crop=false`" * history.config.crop
    advice = f"{COMPARE} If they match, try another `lr` (now {history.config.rate_of({}):g}){crop}."
    if history.step <= 2 * history.expected:
        late = f"A model that learns is usually better than chance by step {history.expected:,}."
        return Diagnosis(state="plateau", sentence=f"{sentence} {late}", advice=advice, overdue=True)
    return Diagnosis(
        state="misaligned",
        sentence=f"{sentence} This happens when labels do not belong to their images.",
        advice=advice,
    )


def _patience(history: _History) -> str:
    when = f"usually by step {history.expected:,}."
    if history.planned < history.expected:
        when = f"usually within {history.expected:,} steps. This run may be too short."
    return f"This is normal: models often start to learn suddenly, {when}"


def _dead_head(history: _History) -> Diagnosis | None:
    """Detect positions that guess or always give one character, while most others are past halfway to all right."""
    recent = history.recent()
    dead = [position for position in range(history.length) if all(_is_dead(line, position, history) for line in recent)]
    if not recent or not dead:
        return None
    last = recent[-1]
    shares: list[float] = last["per_position"]
    others = median(share for position, share in enumerate(shares) if position not in dead)
    names = " and ".join(str(position + 1) for position in dead)
    rights = " and ".join(percent(shares[position], 0) for position in dead)
    are, have, there = f"Position {names} is", f"Position {names} has", "there"
    if len(dead) > 1:
        are, have, there = f"Positions {names} are", f"Positions {names} have", "at these positions"
    chances = " and ".join(percent(history.guessing.shares[position], 0) for position in dead)
    constant = all(_is_constant_at(last, position) for position in dead)
    finding = f"{have} one reading in all validation images" if constant else f"{are} still at chance"
    return Diagnosis(
        state="dead_head",
        sentence=f"{finding} after {history.done()}: {rights} of {plural(last['n'], 'validation image')} "
        f"{history.are_right} there (guessing gives {chances}), {percent(others, 0)} at the other positions.",
        advice=f"Check on the Samples page whether labels are wrong {there}, the text is cut off or a character is "
        "missing.",
    )


def _is_dead(line: Line, position: int, history: _History) -> bool:
    shares, chances, n = line["per_position"], history.guessing.shares, line["n"]
    others = [index for index in range(history.length) if index != position]
    if not others or sum(shares[index] >= _halfway(chances[index]) for index in others) < len(others) / 2:
        return False
    worse = _interval(shares[position], n)[1] < _interval(median(shares[index] for index in others), n)[0]
    return _is_constant_at(line, position) or (worse and _may_guess(shares[position], n, chances[position]))


def _is_constant_at(line: Line, position: int) -> bool:
    """Return whether all readings at a position are equal, and enough images show another character there."""
    readings = line.get("answers_per_position")  # missing in runs of earlier versions
    wrong = line["n"] - round(line["per_position"][position] * line["n"])
    return readings is not None and readings[position] == 1 and _enough(wrong)


def _overfitting(history: _History) -> Diagnosis | None:
    """Detect known training images with three validations in a row clearly worse than the best."""
    losses = [line["loss"] for line in history.val if line["loss"] is not None]
    if len(losses) < 4 or history.accuracy() < 0.98 or history.val[-1]["n"] < MIN_LOSS_IMAGES:
        return None
    least, last = min(losses), losses[-1]
    # The absolute limit ignores harmless rises, such as from 0.001 to 0.002.
    if min(losses[-3:]) < 1.1 * least or last < 1.5 * least or last - least < 0.02:
        return None
    at = next(line["step"] for line in history.val if line["loss"] == least)
    selected = selected_line(history.val)
    return Diagnosis(
        state="overfitting",
        sentence=f"{percent(history.accuracy())} of the training characters are right, while the validation loss rose "
        f"from {least:.3f} at step {at:,} to {last:.3f}. The selected checkpoint is step {selected['step']:,} "
        f"with loss {selected['loss']:.3f}.",
        advice="Label more images, fix wrong labels or use stronger augmentation.",
    )


def _learning(history: _History) -> Diagnosis:
    if not history.val:
        return Diagnosis(
            state="learning",
            sentence=f"{percent(history.accuracy(), 0)} of the training characters are right after {history.done()}, "
            f"median loss {history.loss():.3f}. Validation images have not been read yet.",
        )
    last = history.val[-1]
    return Diagnosis(
        state="learning",
        sentence=f"{_characters(last)} of the validation characters and {last['correct']:,} of "
        f"{plural(last['n'], 'image')} {history.are_right} after {history.done()}. Median training loss "
        f"is {history.loss():.3f}, validation loss {last['loss']:.3f}{_trend(history.val)}.",
        advice="" if _enough(last["n"]) else FEW_IMAGES,
    )


def _trend(val: Sequence[Line]) -> str:
    """Return the change since the previous validation, in words."""
    before = val[-2]["loss"] if len(val) > 1 else None
    if before is None:
        return ""
    last: float = val[-1]["loss"]
    if abs(last - before) < max(0.02 * before, 0.001):
        return ", nearly unchanged"
    return f", {'down' if last < before else 'up'} from {before:.3f}"


def _finished(history: _History) -> Diagnosis:
    selected = selected_line(history.val)
    advice = "See the remaining errors on the Evaluate page."
    if selected["correct"] < 0.8 * selected["n"]:
        advice = "Label more images or train longer. See the errors on the Evaluate page."
    if not _enough(selected["n"]):
        advice = FEW_IMAGES
    return Diagnosis(
        state="finished",
        sentence=f"{plural(history.step, 'step')}: {selected['correct']:,} of "
        f"{plural(selected['n'], 'validation image')} {history.right} "
        f"({share_and_interval(selected['correct'], selected['n'])[0]}). The selected checkpoint is "
        f"step {selected['step']:,}.",
        advice=advice,
        poor=selected["correct"] < POOR * selected["n"],
    )


def selected_line(val: Sequence[Line]) -> Line:
    """Return the validation of the selected checkpoint. Earlier versions selected the one with most images right."""
    selected = [line for line in val if line.get("kept")]
    return selected[-1] if selected else max(val, key=lambda line: (line["correct"], -(line["loss"] or math.inf)))


def _characters(line: Line) -> str:
    return percent(fmean(line["per_position"]), 0)
