"""Presets and options."""

import json
from dataclasses import fields, replace

import pytest

from core.errors import OptionError
from core.model.config import OPTIONS, PRESETS, TITLED, TrainConfig, preset, with_options, with_titles


def test_options_become_typed_values() -> None:
    """Text from the command line becomes fields of the configuration."""
    options = {"seed": "3", "lr": "5e-4", "image_size": "48x192", "drop_seen_strings": "true", "max_minutes": "2.5"}

    config = with_options(preset("fast"), options)

    assert (config.seed, config.lr, config.image_size) == (3, 5e-4, (48, 192))
    assert (config.drop_seen_strings, config.max_minutes) == (True, 2.5)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("key", OPTIONS)
def test_an_option_reads_what_it_writes(key: str, name: str) -> None:
    """The Train form shows a setting as text and parses it back unchanged."""
    option, value = OPTIONS[key], getattr(preset(name), key)

    assert option.parse(option.text(value)) == value
    assert option.parse(option.text(option.default)) == option.default == getattr(TrainConfig(), key)


def test_settings_without_an_option_cannot_be_set() -> None:
    """They belong to a preset."""
    assert {field.name for field in fields(TrainConfig)} - set(OPTIONS) == {"auto_lr", "auto_steps", "auto_epochs"}
    with pytest.raises(OptionError, match="no option 'auto_steps'"):
        with_options(preset("fast"), {"auto_steps": "3"})


def test_an_unknown_option_lists_the_valid_ones() -> None:
    """A mistyped key lists the valid keys."""
    with pytest.raises(OptionError, match=r"no option 'batchsize'.*batch_size.*lr"):
        with_options(preset("fast"), {"batchsize": "3"})


def test_an_unknown_preset_lists_the_valid_ones() -> None:
    """The same for presets."""
    with pytest.raises(OptionError, match="fast, article, article-cut"):
        preset("big")


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("seed", "-1"),
        ("seed", "one"),
        ("lr", "nan"),
        ("lr", "0"),
        ("batch_size", "1"),
        ("batch_size", "2.5"),
        ("image_size", "48"),
        ("image_size", "0x192"),
        ("image_size", "²0x64"),
        ("width", "18"),
        ("pretrained", "weights.pth"),
        ("pretrained", " "),
        ("drop_seen_strings", "yes"),
        ("device", "tpu"),
        ("stride", "12"),
        ("max_steps", "0"),
        ("max_minutes", "inf"),
        ("augment", "{"),
        ("augment", '{"flip": {"p": 1}}'),
        ("augment", "null"),
        ("augment", "3"),
        ("augment", "true"),
        ("augment", "[]"),
        ("backbone", " "),
        ("init", " "),
    ],
)
def test_a_bad_value_is_refused_in_one_sentence(key: str, text: str) -> None:
    """The sentence names the option, so the user can fix it."""
    with pytest.raises(OptionError) as error:
        with_options(preset("fast"), {key: text})

    assert "\n" not in str(error.value)
    assert key in str(error.value) or "transform" in str(error.value)


def test_auto_leaves_a_choice_to_the_data() -> None:
    """`auto` clears an earlier value."""
    config = with_options(preset("fast"), {"image_size": "48x192"})

    assert with_options(config, {"image_size": "auto"}).image_size is None


@pytest.mark.parametrize("name", PRESETS)
def test_a_config_survives_json(name: str) -> None:
    """run.json holds all of it."""
    config = with_options(preset(name), {"image_size": "48x192", "augment": '{"blur": {"p": 0.5}}'})

    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_settings_of_another_version_are_named() -> None:
    """An unknown key is not silently dropped."""
    with pytest.raises(OptionError, match="warp"):
        TrainConfig.from_dict({"warp": 1})


def test_runs_from_before_initial_weights_started_from_scratch() -> None:
    """A resume, a clone and a comparison treat them so."""
    old = TrainConfig().to_dict()
    del old["init"]

    assert TrainConfig.from_dict(old).init == "scratch"
    assert TrainConfig.from_dict(TrainConfig().to_dict()).init == "auto"


def test_the_default_rate_of_earlier_runs_is_automatic() -> None:
    """Runs of earlier versions have it as a number. Another rate was set by someone."""
    old = {name: value for name, value in TrainConfig().to_dict().items() if name != "auto_lr"}

    assert TrainConfig.from_dict(old | {"lr": 0.002}) == TrainConfig(init="auto")
    assert TrainConfig.from_dict(old | {"lr": 0.001}).lr == 0.001
    assert TrainConfig.from_dict(TrainConfig(lr=0.002).to_dict()).lr == 0.002


def test_initial_weights_need_a_lower_rate_and_fewer_steps() -> None:
    """A value that someone sets is kept."""
    config = preset("fast")

    assert config.planned_rate(90, starts_warm=False) == 0.002
    assert config.planned_rate(90, starts_warm=True) == pytest.approx(0.0006)
    assert config.planned_rate(5000, starts_warm=True) == 0.002
    assert replace(config, lr=0.01).planned_rate(90, starts_warm=True) == 0.01
    assert preset("article").planned_rate(90, starts_warm=False) == 0.001
    assert config.planned_steps(3200, starts_warm=False) == (3000, 100)
    assert config.planned_steps(3200, starts_warm=True) == (2000, 100)
    assert config.planned_steps(320, starts_warm=False) == (1500, 10)
    assert config.planned_steps(320, starts_warm=True) == (500, 10)
    assert replace(config, steps=70).planned_steps(3200, starts_warm=True) == (70, 100)
    assert config.rate_of({"lr": 0.0003}) == 0.0003
    assert config.rate_of({}) == 0.002


def test_limits_shorten_the_plan_and_large_sets_lengthen_it() -> None:
    """Steps are a budget. A large set still gets a minimum number of passes."""
    config = TrainConfig(batch_size=32, auto_steps=1000, auto_epochs=10)

    def planned(config: TrainConfig, images: int) -> tuple[int, int]:
        return config.planned_steps(images, starts_warm=False)

    assert planned(config, 320) == (1000, 10)
    assert planned(config, 32_000) == (10_000, 1000)
    assert planned(with_options(config, {"max_steps": "30"}), 320) == (30, 10)
    assert planned(with_options(config, {"epochs": "3"}), 320) == (30, 10)
    assert planned(with_options(config, {"steps": "70"}), 32_000) == (70, 1000)
    assert planned(config, 5) == (1000, 1)


def test_a_page_names_options_by_their_titles() -> None:
    """A terminal shows the text as it is. Other words between backticks are commands."""
    text = "Try `lr` (now 1), `crop=false`, `init=/a b/c.pt` or `image_size=32x96`, then `slotlab train` and `nothing`."

    assert with_titles(text) == (
        "Try Learning rate (now 1), Crop to the text off, Initial weights /a b/c.pt or Image size 32x96, then "
        "`slotlab train` and `nothing`."
    )
    with pytest.raises(OptionError, match=r"^Max minutes must be between"):
        with_options(TrainConfig(), {"max_minutes": "0"}, TITLED)
    with pytest.raises(OptionError, match=r"^max_minutes must be between"):
        with_options(TrainConfig(), {"max_minutes": "0"})
