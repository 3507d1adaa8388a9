"""Settings: each field says once what it may be, and every mistake is one line that names it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepsched.baselines.errors import InvalidInput
from deepsched.baselines.settings import Settings, parse_settings, setting, setting_infos


@dataclass(frozen=True, kw_only=True)
class Oven(Settings):
    """One field of each kind, with and without limits."""

    light: bool = setting(True, "Whether the light is on.")
    trays: int = setting(2, "Trays in it.", at_least=1, at_most=6, metavar="N")
    minutes: int | None = setting(None, "Until it is off; none: until told.", at_least=1)
    heat: float = setting(180.0, "Degrees.", at_least=0.5, at_most=300)
    offset: float = setting(0.0, "Degrees that it is wrong by.")
    fan: str = setting("off", "Where it blows.", choices=("off", "low", "high"))
    program: str | None = setting(None, "What it does by itself.", choices=("bread", "cake"))
    label: str = setting("", "Name of it.", public=False)


@dataclass(frozen=True, kw_only=True)
class Grill(Oven):
    """Fields of its own behind those that it inherits."""

    rods: int = setting(3, "Rods.", at_least=1)


def test_what_is_said_of_a_field_can_be_read() -> None:
    infos = {info.name: info for info in setting_infos(Oven)}
    assert list(infos) == [
        *("light", "trays", "minutes", "heat", "offset", "fan", "program", "label")
    ]
    trays, minutes, program = infos["trays"], infos["minutes"], infos["program"]
    assert dataclasses.asdict(trays) == {
        "name": "trays",
        "kind": int,
        "optional": False,
        "default": 2,
        "help": "Trays in it.",
        "at_least": 1,
        "at_most": 6,
        "choices": (),
        "metavar": "N",
        "public": True,
    }
    assert (minutes.kind, minutes.optional, minutes.default) == (int, True, None)
    assert (program.kind, program.optional, program.choices) == (str, True, ("bread", "cake"))
    assert [infos[name].kind for name in ("light", "heat", "fan")] == [bool, float, str]
    assert [info.name for info in infos.values() if not info.public] == ["label"]
    assert [info.name for info in setting_infos(Grill)] == [*infos, "rods"]
    assert setting_infos(Oven) is setting_infos(Oven)
    assert setting_infos(Settings) == ()


ALLOWED: list[tuple[str, Any]] = [
    ("light", False),
    ("trays", 1),
    ("trays", 6),
    ("minutes", None),
    ("minutes", 10**30),
    ("heat", 0.5),
    ("heat", 300),
    ("offset", -1e300),
    ("offset", 3),
    ("fan", "high"),
    ("program", None),
    ("program", "cake"),
    ("label", "x" * 1000),
    ("label", ""),
]


@pytest.mark.parametrize(("field", "value"), ALLOWED)
def test_what_is_allowed_is_kept_as_it_is(field: str, value: Any) -> None:
    made = parse_settings(Oven, {field: value}, "oven")
    assert getattr(made, field) is value
    assert made == Oven(**{field: value})
    assert dataclasses.asdict(made) == dataclasses.asdict(Oven()) | {field: value}
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, field, value)


WHOLE, NUMBER = "a whole number", "a finite number"
REFUSED: list[tuple[str, Any, str]] = [
    ("light", 1, "light = 1; it must be true or false"),
    ("light", "true", "light = 'true'; it must be true or false"),
    ("light", None, "light = None; it must be true or false"),
    ("trays", 0, f"trays = 0; it must be {WHOLE} from 1 to 6"),
    ("trays", 7, f"trays = 7; it must be {WHOLE} from 1 to 6"),
    ("trays", True, f"trays = True; it must be {WHOLE} from 1 to 6"),
    ("trays", 2.0, f"trays = 2.0; it must be {WHOLE} from 1 to 6"),
    ("trays", "2", f"trays = '2'; it must be {WHOLE} from 1 to 6"),
    ("trays", None, f"trays = None; it must be {WHOLE} from 1 to 6"),
    ("minutes", 0, f"minutes = 0; it must be {WHOLE} of at least 1"),
    ("minutes", False, f"minutes = False; it must be {WHOLE} of at least 1"),
    ("heat", 0.25, f"heat = 0.25; it must be {NUMBER} from 0.5 to 300"),
    ("heat", 301, f"heat = 301; it must be {NUMBER} from 0.5 to 300"),
    ("heat", float("nan"), f"heat = nan; it must be {NUMBER} from 0.5 to 300"),
    ("offset", float("nan"), f"offset = nan; it must be {NUMBER}"),
    ("offset", float("inf"), f"offset = inf; it must be {NUMBER}"),
    ("offset", float("-inf"), f"offset = -inf; it must be {NUMBER}"),
    ("offset", True, f"offset = True; it must be {NUMBER}"),
    ("offset", "3", f"offset = '3'; it must be {NUMBER}"),
    ("fan", "High", "fan = 'High'; it must be one of off, low, high"),
    ("fan", None, "fan = None; it must be one of off, low, high"),
    ("fan", ["off"], "fan = ['off']; it must be one of off, low, high"),
    ("program", "", "program = ''; it must be one of bread, cake"),
    ("label", 3, "label = 3; it must be a text"),
    ("label", {}, "label = {}; it must be a text"),
]


@pytest.mark.parametrize(("field", "value", "message"), REFUSED)
def test_what_is_not_allowed_is_named_with_its_value_and_what_is(
    field: str, value: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=field) as bare:
        Oven(**{field: value})
    assert isinstance(bare.value, InvalidInput)
    assert str(bare.value) == message
    with pytest.raises(InvalidInput) as caught:
        parse_settings(Oven, {field: value}, "file.json: oven")
    assert str(caught.value) == f"file.json: oven: {message}"


def test_other_settings_made_from_settings_are_checked_too() -> None:
    made = Grill(trays=3)
    assert dataclasses.replace(made, rods=4) == Grill(trays=3, rods=4)
    with pytest.raises(InvalidInput, match="trays = 9"):
        dataclasses.replace(made, trays=9)
    with pytest.raises(InvalidInput, match="rods = 0"):
        Grill(rods=0)


def test_an_unknown_field_is_named_with_those_there_are() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_settings(Oven, {"trays": 3, "tray": 3}, "oven")
    assert str(caught.value) == (
        "oven: unknown field 'tray'; one of: "
        "light, trays, minutes, heat, offset, fan, program, label"
    )
    with pytest.raises(InvalidInput) as caught:
        parse_settings(Settings, {"tray": 3}, "nothing")
    assert str(caught.value) == "nothing: unknown field 'tray'; there are none"


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("light", "true", True),
        ("light", "False", False),
        ("light", "1", True),
        ("light", "0", False),
        ("trays", "4", 4),
        ("minutes", "90", 90),
        ("heat", "2e2", 200.0),
        ("offset", "-3", -3.0),
        ("fan", "low", "low"),
        ("program", "bread", "bread"),
        ("label", "5", "5"),
    ],
)
def test_texts_become_values(field: str, text: str, value: Any) -> None:
    made = getattr(parse_settings(Oven, {field: text}, "query", from_text=True), field)
    assert (made, type(made)) == (value, type(value))


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("light", "yes", "light = 'yes'; it must be true or false"),
        ("light", "", "light = ''; it must be true or false"),
        ("trays", "two", f"trays = 'two'; it must be {WHOLE} from 1 to 6"),
        ("trays", "2.0", f"trays = '2.0'; it must be {WHOLE} from 1 to 6"),
        ("trays", "7", f"trays = 7; it must be {WHOLE} from 1 to 6"),
        ("minutes", "None", f"minutes = 'None'; it must be {WHOLE} of at least 1"),
        ("heat", "hot", f"heat = 'hot'; it must be {NUMBER} from 0.5 to 300"),
        ("heat", "nan", f"heat = nan; it must be {NUMBER} from 0.5 to 300"),
        ("offset", "inf", f"offset = inf; it must be {NUMBER}"),
        ("offset", "1e999", f"offset = inf; it must be {NUMBER}"),
        ("fan", "full", "fan = 'full'; it must be one of off, low, high"),
    ],
)
def test_texts_that_are_no_values_are_refused(field: str, text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_settings(Oven, {field: text}, "query", from_text=True)
    assert str(caught.value) == f"query: {message}"


@pytest.mark.parametrize("from_text", [False, True])
@pytest.mark.parametrize("value", ["9" * 10_000, "a" * 59, "é" * 100_000, ["x"] * 500, 10**60])
def test_a_long_value_is_cut(value: Any, from_text: bool) -> None:
    if from_text and not isinstance(value, str):
        value = "?" + str(value)
    with pytest.raises(InvalidInput) as caught:
        parse_settings(Oven, {"trays": value}, "query", from_text=from_text)
    message = str(caught.value)
    assert message.startswith(f"query: trays = {repr(value)[:57]}...; it must be {WHOLE}")
    assert len(message) < 150


def test_a_value_that_just_fits_is_shown_whole() -> None:
    text = "x" * 58  # 60 with its quotes
    with pytest.raises(InvalidInput, match=f"fan = '{text}'; it must"):
        Oven(fan=text)


VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers())
)


@given(field=st.sampled_from([info.name for info in setting_infos(Oven)]), value=VALUES)
def test_any_value_is_taken_or_refused_on_one_line(field: str, value: Any) -> None:
    try:
        made = parse_settings(Oven, {field: value}, "oven")
    except InvalidInput as error:
        assert str(error).startswith(f"oven: {field} = ")  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert getattr(made, field) is value


@given(field=st.sampled_from([info.name for info in setting_infos(Oven)]), text=st.text())
def test_any_text_is_taken_or_refused_on_one_line(field: str, text: str) -> None:
    try:
        parse_settings(Oven, {field: text}, "query", from_text=True)
    except InvalidInput as error:
        assert str(error).startswith(f"query: {field} = ")  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
