"""Commands that follow a job to its end."""

import pytest
from sqlite_utils import Database

from core.cli import commands
from core.home import Home
from db import jobs, projects
from db.connection import opened, write
from db.records import Project
from tests.helpers.runs import start_forever


@pytest.mark.usefixtures("stand_in")
def test_ctrl_c_in_the_middle_of_a_read_cancels_beside_a_writer(db: Database, home: Home, labeled: Project) -> None:
    """The interrupted read must not stay open, or SQLite would refuse the cancel because its view is old."""
    job = jobs.get_job(db, start_forever(db, home, labeled).id)

    def interrupt(_cursor: object, _row: object) -> None:
        db.conn.row_factory = None
        with opened(home.db) as other, write(other):
            projects.insert_project(other, "written meanwhile", 6, "0123456789")
        raise KeyboardInterrupt

    db.conn.row_factory = interrupt
    commands._follow(db, home, job)

    assert jobs.get_job(db, job.id).state == "canceled"
