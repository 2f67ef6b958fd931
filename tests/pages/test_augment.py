"""The Augment page."""

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from core.augment import DEFAULT_AUGMENT, check_augment
from core.home import Home
from db.records import Project

OpenPage = Callable[..., AppTest]


def press(app: AppTest, label: str) -> AppTest:
    return next(button for button in app.button if button.label == label).click().run()


def test_the_original_and_its_variants_are_shown(open_page: OpenPage, portal: Project) -> None:
    """One training image stands beside as many variants as asked for, drawn by the default settings."""
    app = open_page("augment", project=portal.name)
    app.number_input(key="n").set_value(3).run()

    assert not app.exception
    assert not app.error
    assert len(app.image) == 4


def test_default_settings_are_handed_to_the_next_run(open_page: OpenPage, portal: Project) -> None:
    """What the sliders show before anybody moved one is what training uses by default."""
    app = press(open_page("augment", project=portal.name), "Use in the next run")

    assert app.session_state["augment"] == {portal.name: check_augment(DEFAULT_AUGMENT)}


def test_changed_settings_are_handed_to_the_next_run(open_page: OpenPage, portal: Project) -> None:
    """All off, one on, one range moved: the run gets that transform alone."""
    app = press(open_page("augment", project=portal.name), "All off")
    app.toggle(key="blur").set_value(True).run()
    app.slider(key="blur sigma").set_range(0.4, 0.5).run()
    press(app, "Use in the next run")

    assert not app.exception
    assert list(app.session_state["augment"][portal.name]) == ["blur"]
    assert app.session_state["augment"][portal.name]["blur"]["sigma"] == [0.4, 0.5]


def test_a_transform_without_default_starts_visible(open_page: OpenPage, portal: Project) -> None:
    """Switching on what is off by default must change something: its share starts above zero."""
    app = open_page("augment", project=portal.name)
    app.toggle(key="invert").set_value(True).run()

    assert app.slider(key="invert p").value > 0


def test_another_sample_is_another_image(home: Home, open_page: OpenPage, portal: Project) -> None:
    """The dice choose among the training images, in an order that is the same each time."""
    first = open_page("augment", project=portal.name)
    captions = {first.main.caption[-1].value} | {press(first, "Another").main.caption[-1].value for _ in range(5)}

    assert len(captions) > 1
