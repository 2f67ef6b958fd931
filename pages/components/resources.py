"""What is loaded once and shared by all sessions, and what a run says about itself."""

from sqlite_utils import Database

from core.frame import WHOLE, Frame
from core.home import Home
from core.jobdir import JobDir
from db.records import Project
from db.runs import list_runs
from db.samples import select_samples


def training_frame(home: Home, db: Database, project: Project) -> tuple[Frame, str]:
    """Crop and size of what a model of this project sees, and where that is known from."""
    for run in list_runs(db, project.id):
        spec = JobDir(home.run(run.job.id)).read("run.json") or {}
        choices = spec.get("choices", {})
        if "image_size" in choices:
            return Frame(tuple(choices["box"]), tuple(choices["image_size"])), f"as run {run.job.id} saw it"
    sample = select_samples(db, project.id, limit=1)[0]
    width = round(48 * sample.width / sample.height / 16) * 16
    return Frame(WHOLE, (48, max(48, width))), "until a run has found out where the text is"
