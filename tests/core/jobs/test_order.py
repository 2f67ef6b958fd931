"""The run queue of a device: people move runs, and no run gets lost."""

import threading
import time
from itertools import permutations

import pytest

from core.errors import JobError, StorageError
from core.jobs import order
from core.jobs.jobdir import JobDir
from tests.helpers.stand_in import MakeJob, RunJob
from tests.helpers.waiting import wait_for, wait_for_end, wait_until_working


@pytest.fixture
def waiting(make_job: MakeJob, run_job: RunJob) -> list[JobDir]:
    """One running run and three queued ones."""
    jobs = [make_job(f"{number:04d}-fast") for number in (1, 2, 3, 4)]
    run_job(jobs[0])
    wait_until_working(jobs[0])
    for job in jobs[1:]:
        run_job(job)
    for job in jobs[1:]:
        wait_for(job, lambda view: view.state == "queued")
    return jobs


def waiting_now(job: JobDir) -> list[str]:
    return [other.id for other in order.waiting_runs(job.path.parent).get("cpu", [])]


def end(job: JobDir) -> None:
    job.write("cancel", {"at": time.time()})
    wait_for_end(job)


def test_runs_take_the_device_in_the_order_they_were_moved_to(waiting: list[JobDir], run_job: RunJob) -> None:
    """The last run moves to the front and another one back; new and resumed runs queue behind moved ones."""
    first, second, third, fourth = waiting
    runs = first.path.parent
    order.move(runs, fourth.id, before=second.id)
    order.move(runs, second.id, before=None)
    assert waiting_now(first) == ["0004-fast", "0003-fast", "0002-fast"]
    wait_for(second, lambda view: view.message.endswith("Run 0004-fast comes before this one."))

    end(first)
    wait_until_working(fourth)
    first.remove("cancel", "exit.json")
    run_job(first)
    wait_for(first, lambda view: view.state == "queued")

    assert waiting_now(first) == ["0003-fast", "0002-fast", "0001-fast"]
    end(fourth)
    wait_until_working(third)
    end(third)
    wait_until_working(second)
    assert first.observe().state == "queued"


def test_many_moves_at_once_lose_no_run(waiting: list[JobDir]) -> None:
    """After concurrent moves every queued run is still queued, once."""
    runs, ids = waiting[0].path.parent, [job.id for job in waiting[1:]]

    def shuffle(pairs: list[tuple[str, ...]]) -> None:
        for job_id, before in pairs * 4:
            order.move(runs, job_id, before=before)

    pairs = list(permutations(ids, 2))
    threads = [threading.Thread(target=shuffle, args=(pairs[start:] + pairs[:start],)) for start in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(waiting_now(waiting[0])) == ids


def test_a_second_press_changes_nothing(waiting: list[JobDir]) -> None:
    """A move names the run to go before, so repeating it changes nothing, even before itself."""
    runs = waiting[0].path.parent
    for before in ("0003-fast", "0003-fast", "0004-fast"):
        order.move(runs, "0004-fast", before=before)

    assert waiting_now(waiting[0]) == ["0002-fast", "0004-fast", "0003-fast"]


def test_a_run_outside_the_queue_cannot_be_moved(waiting: list[JobDir]) -> None:
    """A running, a canceled and an unknown run: one sentence, and the order stays."""
    first, second, third, _ = waiting
    end(third)

    for job_id, before in ((first.id, second.id), (third.id, second.id), ("0099-fast", None)):
        with pytest.raises(JobError, match=f"Run {job_id} is no longer in the queue"):
            order.move(first.path.parent, job_id, before=before)
    with pytest.raises(JobError, match="Run 0003-fast is no longer in this queue"):
        order.move(first.path.parent, second.id, before=third.id)

    assert waiting_now(first) == ["0002-fast", "0004-fast"]


def test_a_search_for_wrong_labels_waits_for_runs_that_are_older(
    waiting: list[JobDir], make_job: MakeJob, run_job: RunJob
) -> None:
    """Its number is lower, because each kind counts for itself."""
    second, third, fourth = waiting[1:]
    for place, job in enumerate((second, third, fourth)):
        job.write("run.json", job.spec() | {"created_at": f"2026-11-30T10:00:0{3 * place}+00:00"})
    folds = make_job("0001-folds", kind="folds")
    folds.write("run.json", folds.spec() | {"created_at": "2026-11-30T10:00:05+00:00"})
    run_job(folds)
    wait_for(folds, lambda view: view.state == "queued")

    assert waiting_now(folds) == ["0002-fast", "0003-fast", "0001-folds", "0004-fast"]


def test_a_damaged_order_is_that_of_the_numbers(waiting: list[JobDir]) -> None:
    """A damaged file blocks no run."""
    order.move(waiting[0].path.parent, "0004-fast", before="0002-fast")

    for damage in ("", "[]", '{"order": 3}', '{"order": [[]]}', "no JSON"):
        (waiting[0].path.parent / "queue.json").write_text(damage)
        assert waiting_now(waiting[0]) == ["0002-fast", "0003-fast", "0004-fast"], damage


def test_a_resumed_run_has_had_its_turn(waiting: list[JobDir]) -> None:
    """It queues by number, not where it was moved before; the others stay."""
    runs = waiting[0].path.parent
    order.move(runs, "0004-fast", before="0002-fast")
    order.move(runs, "0003-fast", before="0002-fast")
    assert waiting_now(waiting[0]) == ["0004-fast", "0003-fast", "0002-fast"]

    order.forget(runs, "0004-fast")

    assert waiting_now(waiting[0]) == ["0003-fast", "0002-fast", "0004-fast"]


def test_an_order_that_cannot_be_written_is_one_sentence(waiting: list[JobDir]) -> None:
    """The order stays."""
    (waiting[0].path.parent / "queue.json").mkdir()

    with pytest.raises(StorageError, match="The run queue could not be saved"):
        order.move(waiting[0].path.parent, "0004-fast", before="0002-fast")

    assert waiting_now(waiting[0]) == ["0002-fast", "0003-fast", "0004-fast"]
