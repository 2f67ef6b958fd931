"""A database that is damaged while people label, in a real browser."""

import shutil
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from db import damage
from tests.helpers.damaging import digests, overwrite_page
from tests.helpers.labeler import OpenLabel, expect_all_saved, shown, widget

if TYPE_CHECKING:
    from tests.helpers.lab import Lab


def test_labels_wait_in_the_browser_while_the_database_is_damaged(own_lab: "Lab", open_label: OpenLabel) -> None:
    """The page says that nothing was saved, also after a reload. After a restore the labels are saved."""
    project, home = own_lab.make_project("portal", 30), own_lab.home
    own_lab.start()
    page = open_label(own_lab, project)
    page.keyboard.type("123456")
    expect_all_saved(page)
    backup = home.backups / "backup.db"
    shutil.copy(home.db, backup)
    overwrite_page(home.db, "labels")
    before = digests(home.db)

    texts = {}
    for text in ("222222", "333333"):
        texts[shown(page)] = text
        page.keyboard.type(text)
    expect(widget(page)).to_contain_text("Nothing was saved. The database is damaged")
    expect(widget(page)).to_have_attribute("data-unsaved", "2")
    page.reload()
    expect(page.get_by_test_id("stAlert").first).to_contain_text("slotlab restore BACKUP")
    expect(widget(page)).to_have_attribute("data-unsaved", "2")
    assert digests(home.db) == before

    backup.replace(home.db)
    damage.clear(home.db)
    page.reload()

    expect_all_saved(page)
    assert texts.items() <= own_lab.labels(project).items()
