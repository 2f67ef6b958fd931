"""What state a run is in, in words, and what to do next.

A function of what the run's directory holds, so every viewer computes the same from the same files: page and terminal
agree, runs of the past are covered, and so is the one end that no worker can write down itself, being killed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any, Literal

from core.charset import TextSpec
from core.errors import Cause
from core.evaluation.percent import percent, share_and_interval
from core.model.config import TrainConfig

State = Literal[
    "starting",
    "plateau",
    "learning",
    "dead_head",
    "constant_answer",
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
"""Real portals leave the plateau at steps 50 to 300 under preset fast; users take it for a failure all the same."""
PLATEAU_SHARE = 0.2
"""Of the planned steps: a longer run warms up longer, and may stay at chance for longer."""
WINDOW = 20
"""Logged steps that are averaged; a single batch says little."""
BY_HEART = 0.7
"""A training loss below this share of that of guessing is no plateau any more."""
COMPARE = "Compare labels and images on the Samples page (a CSV shifted by a row, files sorted otherwise)"


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What is seen of a run."""

    state: State
    sentence: str
    """What is seen, with the numbers."""
    advice: str = ""
    """The next step; empty where there is none to take."""
    overdue: bool = False
    """Whether a plateau is no longer what one expects."""

    @property
    def text(self) -> str:
        return f"{self.sentence} {self.advice}".rstrip()

    @property
    def key(self) -> str:
        """Equal for diagnoses that differ in their numbers only."""
        return f"{self.state}{' overdue' * self.overdue}"

    @property
    def title(self) -> str:
        return self.state.replace("_", " ").capitalize()

    @property
    def worrying(self) -> bool:
        return self.overdue or self.state not in CALM


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
) -> Diagnosis:
    """Never stops a run, only tells of it.

    `lines` are those of metrics.jsonl, `steps` are planned; `state`, `cause` and `reason` are the job's; `image_size`
    is what was chosen.
    """
    if state == "failed" and (ended := _broken(config, cause, reason or "", image_size or config.image_size)):
        return ended
    history = _History(lines, spec, config, steps)
    if not history.steps:
        return Diagnosis(state="starting", sentence="No step has been logged yet.")
    if history.val and history.val[-1]["loss"] is None:
        return Diagnosis(
            state="non_finite",
            sentence=f"The validation loss is no finite number at step {history.val[-1]['step']:,}.",
            advice=_lower_lr(config),
        )
    # What explains most comes first: at chance, every position is dead and the answers are nearly the same.
    for sign in (_diverging, _learned_by_heart, _constant_answer, _plateau, _dead_head, _overfitting):
        if found := sign(history):
            return found
    return _finished(history) if state == "finished" and history.val else _learning(history)


def lines_of_kind(lines: Sequence[Line], kind: str) -> list[Line]:
    """Lines of a kind by step; where a resumed run has gone back, what it had done from there on counts no more."""
    valid: list[Line] = []
    for line in lines:
        if line.get("kind") == kind:
            while valid and valid[-1]["step"] >= line["step"]:
                valid.pop()
            valid.append(line)
    return valid


class _History:
    """The lines of a run, with chance and the plateau's length for measures."""

    def __init__(self, lines: Sequence[Line], spec: TextSpec, config: TrainConfig, steps: int) -> None:
        self.config = config
        self.steps, self.val = lines_of_kind(lines, "step"), lines_of_kind(lines, "val")
        self.length, self.classes = spec.length, spec.num_classes
        self.chance = 1 / self.classes
        self.chance_loss = math.log(self.classes)
        self.step: int = max((line["step"] for line in self.steps[-1:] + self.val[-1:]), default=0)
        self.planned = max(steps, self.step)
        self.expected = max(PLATEAU_STEPS, round(PLATEAU_SHARE * self.planned))
        """By this step a network that can read has left chance."""

    def at_chance(self, share: float, n: int) -> bool:
        """Whether `share` of `n` characters right may be guessing: within two standard errors of 1/C.

        A twentieth of the way to all right is added, because characters are never quite equally frequent. All right is
        no guessing, though on a handful of images two standard errors reach beyond it.
        """
        spread = math.sqrt(self.chance * (1 - self.chance) / n)
        return share < 1 and share <= self.chance + (1 - self.chance) / 20 + 2 * spread

    def guesses(self, line: Line) -> bool:
        """Whether a validation is at chance, at each position and as a whole; on few images the whole says more."""
        shares: list[float] = line["per_position"]
        whole = self.at_chance(fmean(shares), line["n"] * self.length)
        return whole and all(self.at_chance(share, line["n"]) for share in shares)

    def recent(self) -> list[Line]:
        """The validations of the last fifth of the steps done, at least two; none as long as there are not two."""
        late = [line for line in self.val if line["step"] >= 0.8 * self.val[-1]["step"]]
        return [] if len(self.val) < 2 else late if len(late) > 1 else self.val[-2:]

    def loss(self, until: int | None = None) -> float:
        """The training loss over WINDOW logged steps, the last one at `until`; a median, since losses can leap."""
        known: list[float] = [line["loss"] for line in self.steps if until is None or line["step"] <= until]
        return float(median(known[-WINDOW:] or [self.steps[0]["loss"]]))

    def accuracy(self) -> float:
        """Share of the training characters that were right over WINDOW logged steps."""
        return fmean(line["accuracy"] for line in self.steps[-WINDOW:])

    def done(self) -> str:
        return f"{self.step:,} of {self.planned:,} steps"


def _broken(config: TrainConfig, cause: Cause | None, reason: str, size: Sequence[int] | None) -> Diagnosis | None:
    """What the cause of a failure says."""
    if cause == "non_finite":
        return Diagnosis(state="non_finite", sentence=reason, advice=_lower_lr(config))
    if cause == "out_of_memory":
        pixels = f" (now {size[0]}x{size[1]})" if size else ""
        return Diagnosis(
            state="out_of_memory",
            sentence=reason,
            advice="Resume would repeat these settings: start a new run with a smaller batch_size (now "
            f"{config.batch_size}) or image_size{pixels}.",
        )
    return None


def _lower_lr(config: TrainConfig) -> str:
    return f"Start a new run with a tenth of the lr ({config.lr / 10:g} instead of {config.lr:g})."


def _diverging(history: _History) -> Diagnosis | None:
    """Guessing has a loss of ln C; what stays far above it is surer of wrong answers with every step."""
    if len(history.steps) < WINDOW or history.loss() <= 2 * history.chance_loss:
        return None
    return Diagnosis(
        state="diverging",
        sentence=f"The training loss is {history.loss():.3f} after {history.done()}, far above the "
        f"{history.chance_loss:.3f} of guessing.",
        advice=_lower_lr(history.config),
    )


def _learned_by_heart(history: _History) -> Diagnosis | None:
    """The network tells the training images apart, and knows nothing about any other."""
    recent = history.recent()
    if not recent or not all(map(history.guesses, recent)):
        return None
    # The averaged weights that are validated lag behind those that are trained: they get half of the steps to follow.
    if history.loss(until=history.step // 2) >= BY_HEART * history.chance_loss:
        return None
    return Diagnosis(
        state="misaligned",
        sentence=f"Learnt by heart: the training loss is {history.loss():.3f} after {history.done()}, but every "
        f"position of the validation images is at chance ({_characters(recent[-1])} of the characters right, where "
        f"guessing gives {percent(history.chance, 0)}).",
        advice=f"{COMPARE}; if they fit, there are too few images: label more.",
    )


def _constant_answer(history: _History) -> Diagnosis | None:
    """Before the plateau should end, one answer for all is part of it."""
    recent = history.recent()
    if history.step <= history.expected or not recent or not all(_is_constant(line, history) for line in recent):
        return None
    n, answers, config = recent[-1]["n"], recent[-1]["answers"], history.config
    texts = "the same text" if answers == 1 else f"one of {answers} texts"
    others = f"{', crop=false' * config.crop} or ink={'false' if config.ink else 'true'}"
    return Diagnosis(
        state="constant_answer",
        sentence=f"All {n} validation images are read as {texts} after {history.done()}; training loss "
        f"{history.loss():.3f}, where guessing gives {history.chance_loss:.3f}.",
        advice="See on the Samples page whether the images show their texts; if they do, start a new run with another "
        f"lr (now {config.lr:g}){others}.",
    )


def _is_constant(line: Line, history: _History) -> bool:
    """Whether almost nothing of what could be told apart is; where one text is right for most, that is no fault."""
    possible = min(line["n"], history.classes**history.length)
    answers: int = line.get("answers", possible)  # runs of earlier versions did not count them
    return bool(line["n"] >= 5 and answers <= max(1, possible // 20) and line["correct"] < 0.5 * line["n"])


def _plateau(history: _History) -> Diagnosis | None:
    loss = history.loss()
    # By the training loss too: the last validation may be long ago.
    if loss < BY_HEART * history.chance_loss or (history.val and not history.guesses(history.val[-1])):
        return None
    right = _characters(history.val[-1]) if history.val else percent(history.accuracy(), 0)
    sentence = (
        f"At chance after {history.done()}: training loss {loss:.3f}, where guessing gives {history.chance_loss:.3f}, "
        f"and {right} of the {'validation' if history.val else 'training'} characters right, where it gives "
        f"{percent(history.chance, 0)}."
    )
    if history.step <= history.expected:
        return Diagnosis(state="plateau", sentence=sentence, advice=_patience(history))
    remedies = f"if they fit, try another lr (now {history.config.lr:g}){' or crop=false' * history.config.crop}."
    if history.step <= 2 * history.expected:
        late = f"A network that reads has left chance by step {history.expected:,} as a rule."
        return Diagnosis(state="plateau", sentence=f"{sentence} {late}", advice=f"{COMPARE}; {remedies}", overdue=True)
    return Diagnosis(
        state="misaligned",
        sentence=f"{sentence} Labels that do not belong to their images look like this.",
        advice=f"{COMPARE}; {remedies}",
    )


def _patience(history: _History) -> str:
    wait = f"as a rule by step {history.expected:,}"
    if history.planned < history.expected:
        wait = f"as a rule within {history.expected:,} steps, for which this run may be too short"
    return f"This is normal and no failure: a network that reads leaves chance all at once, {wait}."


def _dead_head(history: _History) -> Diagnosis | None:
    """One position, or a few, at chance while the median of the others is past half way from guessing to all right."""
    recent = history.recent()
    dead = [position for position in range(history.length) if all(_is_dead(line, position, history) for line in recent)]
    if not recent or not dead:
        return None
    shares: list[float] = recent[-1]["per_position"]
    others = median(share for position, share in enumerate(shares) if position not in dead)
    names = " and ".join(str(position + 1) for position in dead)
    rights = " and ".join(percent(shares[position], 0) for position in dead)
    what, there = (f"Position {names} is", "there") if len(dead) == 1 else (f"Positions {names} are", "at each of them")
    return Diagnosis(
        state="dead_head",
        sentence=f"{what} still at chance after {history.done()}: {rights} of {recent[-1]['n']} validation images are "
        f"right there, and {percent(others, 0)} at the others.",
        advice=f"See on the Samples page whether the labels are right {there}, the text is cut off or a character has "
        "no image.",
    )


def _is_dead(line: Line, position: int, history: _History) -> bool:
    shares: list[float] = line["per_position"]
    others = [share for index, share in enumerate(shares) if index != position]
    well = history.chance + (1 - history.chance) / 2
    return bool(others) and history.at_chance(shares[position], line["n"]) and median(others) >= well


def _overfitting(history: _History) -> Diagnosis | None:
    """The training images are known, and three validations in a row are clearly worse than the best."""
    losses = [line["loss"] for line in history.val if line["loss"] is not None]
    if len(losses) < 4 or history.accuracy() < 0.98:
        return None
    least, last = min(losses), losses[-1]
    # The second measure: from 0.001 to 0.002 is no harm to anybody.
    if min(losses[-3:]) < 1.1 * least or last < 1.5 * least or last - least < 0.02:
        return None
    at = next(line["step"] for line in history.val if line["loss"] == least)
    kept = kept_line(history.val)
    return Diagnosis(
        state="overfitting",
        sentence=f"{percent(history.accuracy())} of the training characters are right, while the validation loss rose "
        f"from {least:.3f} at step {at:,} to {last:.3f}; kept are the weights of step {kept['step']:,}, whose loss is "
        f"{kept['loss']:.3f}.",
        advice="Label more images, mend wrong labels or augment more strongly.",
    )


def _learning(history: _History) -> Diagnosis:
    if not history.val:
        return Diagnosis(
            state="learning",
            sentence=f"{percent(history.accuracy(), 0)} of the training characters are right after {history.done()}, "
            f"loss {history.loss():.3f}; the validation images have not been read yet.",
        )
    last = history.val[-1]
    return Diagnosis(
        state="learning",
        sentence=f"{_characters(last)} of the validation characters and {last['correct']:,} of {last['n']:,} images "
        f"are right after {history.done()}; training loss {history.loss():.3f}, validation loss "
        f"{last['loss']:.3f}{_trend(history.val)}.",
    )


def _trend(val: Sequence[Line]) -> str:
    """How the loss moved since the last validation but one."""
    before = val[-2]["loss"] if len(val) > 1 else None
    if before is None:
        return ""
    last: float = val[-1]["loss"]
    if abs(last - before) < max(0.02 * before, 0.001):
        return ", about as before"
    return f", {'down' if last < before else 'up'} from {before:.3f}"


def _finished(history: _History) -> Diagnosis:
    kept = kept_line(history.val)
    advice = "The Evaluate page shows what is still misread."
    if kept["correct"] < 0.8 * kept["n"]:
        advice = "Label more images, or give a new run more steps; the Evaluate page shows what is misread."
    return Diagnosis(
        state="finished",
        sentence=f"Done after {history.step:,} steps: {kept['correct']:,} of {kept['n']:,} validation images right "
        f"({share_and_interval(kept['correct'], kept['n'])[0]}) at step {kept['step']:,}, whose weights are kept.",
        advice=advice,
    )


def kept_line(val: Sequence[Line]) -> Line:
    """The validation of the weights that a run keeps. Runs of earlier versions kept those that read most."""
    kept = [line for line in val if line.get("kept")]
    return kept[-1] if kept else max(val, key=lambda line: (line["correct"], -(line["loss"] or math.inf)))


def _characters(line: Line) -> str:
    return percent(fmean(line["per_position"]), 0)
