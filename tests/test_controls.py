"""Controls: tracks from files and constants, edits from other performances, refusals."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest

from obverse.errors import ConfigError, InputError
from obverse.generator.controls import (
    CAMERA_DISTANCE,
    RANGES,
    TRACK_NAMES,
    ControlTracks,
    apply_edits,
    eye_turn,
    interpolated,
    looped,
    read_tracks,
    with_eye_turn,
)
from obverse.generator.emotions import EMOTIONS
from obverse.generator.eyes import COMPENSATION, LOOK_ASIDE, LOOK_DOWN, LOOK_UP
from obverse.generator.head import HeadModel
from obverse.generator.motion import EXPRESSIONS, FPS, Motion, expression_index
from obverse.generator.performance import PerformanceConfig
from obverse.generator.render import _CAMERA_DISTANCE


def _motion(frames: int, seed: int = 0) -> Motion:
    rng = np.random.default_rng(seed)
    return Motion(
        rng.uniform(0.0, 0.6, (frames, 52)).astype(np.float32),
        rng.normal(0.0, 0.1, (frames, 3)).astype(np.float32),
        rng.normal(0.0, 0.1, (frames, 3)).astype(np.float32),
    )


def test_nothing_asked_is_natural() -> None:
    asked, natural = PerformanceConfig().tracks(7), ControlTracks.natural(7)
    for field in dataclasses.fields(ControlTracks):
        one, other = getattr(asked, field.name), getattr(natural, field.name)
        assert (one is None and other is None) or np.array_equal(one, other), field.name
    assert asked.emotion[:, 0].tolist() == [1.0] * 7


def test_constants_fill_every_frame() -> None:
    config = PerformanceConfig(
        emotion=(("happy", 0.6), ("surprised", 0.3)), gaze=(10.0, -5.0), distance=1.25
    )
    tracks = config.tracks(5)
    wanted = {"neutral": 0.1, "happy": 0.6, "surprised": 0.3}
    assert tracks.emotion[3] == pytest.approx([wanted.get(name, 0.0) for name in EMOTIONS])
    assert np.rad2deg(tracks.gaze[4]) == pytest.approx([10.0, -5.0])
    assert tracks.distance.tolist() == [1.25] * 5


def test_a_timeline_is_the_same_however_it_is_cut() -> None:
    config = PerformanceConfig(
        timeline=(("happy", ((1.0, 0.0), (3.0, 1.0))), ("gaze_yaw", ((0.0, -10.0), (4.0, 10.0)))),
        distance=1.1,
    )
    whole = config.tracks(120)
    assert whole.emotion[: FPS + 1, EMOTIONS.index("happy")].max() == 0.0  # held before its start
    assert whole.emotion[2 * FPS] == pytest.approx([0.5, 0.5, 0, 0, 0, 0, 0, 0])
    assert whole.emotion[-1, EMOTIONS.index("happy")] == 1.0  # and after its end
    assert np.rad2deg(whole.gaze[50, 0]) == pytest.approx(0.0, abs=1e-5)
    part, cut = config.tracks(30, first=70), whole.slice(70, 100)
    for field in dataclasses.fields(ControlTracks):
        assert np.array_equal(getattr(part, field.name), getattr(cut, field.name)), field.name


def test_a_timeline_replaces_a_constant_and_leaves_the_others() -> None:
    config = PerformanceConfig(
        emotion=(("happy", 0.3), ("sad", 0.2)), timeline=(("sad", ((0.0, 0.5),)),)
    )
    assert config.tracks(1).emotion[0] == pytest.approx([0.2, 0.3, 0.5, 0, 0, 0, 0, 0])


def test_interpolation_is_linear_and_held_at_the_ends() -> None:
    values = interpolated(((0.4, 1.0), (0.8, 3.0)), 30)
    assert values[:11].tolist() == [1.0] * 11
    assert values[15] == pytest.approx(2.0)
    assert values[20:].tolist() == [3.0] * 10


def test_a_config_survives_json() -> None:
    config = PerformanceConfig(
        emotion=(("angry", 0.5),),
        gaze=(3.0, 4.0),
        timeline=(("distance", ((0.0, 1.0), (2.0, 1.2))),),
        head_strength=0.5,
    )
    text = json.dumps(dataclasses.asdict(config))
    assert PerformanceConfig.from_dict(json.loads(text)) == config
    text = json.dumps(config.to_dict())
    assert PerformanceConfig.from_dict(json.loads(text)) == config
    assert PerformanceConfig.from_dict({"emotion": {"angry": 0.5}}).emotion == (("angry", 0.5),)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"emotion": {"hungry": 0.5}}, "hungry"),
        ({"emotion": {"happy": 1.5}}, "happy"),
        ({"emotion": {"happy": 0.8, "sad": 0.8}}, "sum to 1.6"),
        ({"gaze": [40.0, 0.0]}, "gaze_yaw is 40"),
        ({"gaze": [0.0, float("nan")]}, "gaze_pitch"),
        ({"gaze": 3.0}, "two angles"),
        ({"distance": 9.0}, "distance is 9"),
        ({"distance": "far"}, "'far'"),
        ({"model": "telepathy"}, "telepathy"),
        ({"fear": 1.0}, "fear"),
        ({"timeline": {"fear": [[0, 1]]}}, "fear"),
        ({"timeline": {"happy": [[1, 0], [1, 0.5]]}}, "rise"),
        ({"timeline": {"happy": []}}, "no value"),
        ({"timeline": {"happy": [[0, 2]]}}, "happy is 2"),
        ({"timeline": {"happy": [[0, 0], [2, 1]], "sad": [[0, 0], [2, 0.2]]}}, "sum to 1.2"),
    ],
)
def test_what_no_face_does_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        PerformanceConfig.from_dict(values)
    assert "\n" not in str(raised.value)


CSV = "seconds, happy, gaze_yaw\n0, 0, 5\n2, 1,\n4, 0.5, -5\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", CSV),
        ("a.yaml", "seconds: [0, 2, 4]\nhappy: [0, 1, 0.5]\ngaze_yaw: [5, null, -5]\n"),
        (
            "a.json",
            '[{"seconds": 0, "happy": 0, "gaze_yaw": 5}, {"seconds": 2, "happy": 1},'
            ' {"seconds": 4, "happy": 0.5, "gaze_yaw": -5}]',
        ),
    ],
)
def test_files_of_tracks(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_tracks(tmp_path / name) == (
        ("happy", ((0.0, 0.0), (2.0, 1.0), (4.0, 0.5))),
        ("gaze_yaw", ((0.0, 5.0), (4.0, -5.0))),
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "time,happy\n0,1\n", "seconds"),
        ("a.csv", "seconds,happy\n0,much\n", "'much'"),
        ("a.csv", "seconds,happy\n0,1,2\n", "more cells"),
        ("a.csv", "seconds,hungry\n0,1\n", "hungry"),
        ("a.csv", "seconds,happy\n0,inf\n", "finite"),
        ("a.csv", "seconds\n0\n", "no control track"),
        ("a.csv", "", "no control track"),
        ("a.yaml", "seconds: [0, 1]\nhappy: [0]\n", "length"),
        ("a.yaml", "happy: 3\n", "neither"),
        ("a.json", "{", "no JSON"),
        ("a.txt", "seconds\n", ".csv"),
    ],
)
def test_files_that_are_no_tracks(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises((InputError, ConfigError), match=message) as raised:
        read_tracks(tmp_path / name)
    assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match=r"no\.csv"):
        read_tracks(tmp_path / "no.csv")


def test_track_names_are_the_controls_of_a_frame() -> None:
    laid = {field.name for field in dataclasses.fields(ControlTracks)} - {"pose", "expression"}
    assert (
        set(TRACK_NAMES) - set(EMOTIONS) - {"gaze_yaw", "gaze_pitch"} | {"emotion", "gaze"} == laid
    )
    assert RANGES["distance"][0] < 1.0 < RANGES["distance"][1]


def test_tracks_of_wrong_shape_or_value_are_refused() -> None:
    natural = ControlTracks.natural(4)
    for change, message in (
        ({"gaze": np.zeros((4, 3), np.float32)}, "gaze"),
        ({"distance": np.full(4, 9.0, np.float32)}, "distance"),
        ({"head_strength": np.full(4, np.nan, np.float32)}, "head_strength"),
        ({"emotion": np.zeros((4, 8), np.float32)}, "sum to 1"),
        ({"pose": Motion.still(3)}, "3 frames"),
    ):
        with pytest.raises(ConfigError, match=message):
            dataclasses.replace(natural, **change)


def test_a_short_motion_goes_back_and_forth() -> None:
    motion = _motion(5)
    index = [0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2]
    assert np.array_equal(looped(motion, 11).rotation, motion.rotation[index])
    assert np.array_equal(looped(motion, 4, first=6).rotation, motion.rotation[index[6:10]])
    assert np.array_equal(looped(motion[:1], 3).rotation, motion.rotation[[0, 0, 0]])
    with pytest.raises(ConfigError, match="no frames"):
        looped(Motion.still(0), 2)


def test_no_edit_changes_nothing() -> None:
    motion = _motion(6)
    same = apply_edits(motion, ControlTracks.natural(6))
    assert np.array_equal(same.expression, motion.expression)
    assert np.array_equal(same.rotation, motion.rotation)
    assert np.array_equal(same.translation, motion.translation)


def test_a_pose_replaces_the_head_alone_and_eyes_stay_on_what_they_saw() -> None:
    still = Motion.still(6)
    rotation = np.zeros((6, 3), np.float32)
    rotation[:, 1] = np.deg2rad(10.0)
    pose = Motion(_motion(6).expression, rotation, _motion(6, 1).translation)
    config = PerformanceConfig(distance=1.3, head_strength=0.5)
    edited = apply_edits(still, config.tracks(6, pose=pose))
    assert np.allclose(edited.rotation, 0.5 * rotation)
    assert np.allclose(edited.translation[:, :2], 0.5 * pose.translation[:, :2])
    assert np.allclose(
        edited.translation[:, 2], 0.5 * pose.translation[:, 2] + CAMERA_DISTANCE * 0.3, atol=1e-5
    )
    looks = np.rad2deg(eye_turn(edited.expression))
    assert np.allclose(looks, [-5.0 * COMPENSATION, 0.0], atol=1e-3)
    others = [i for i, name in enumerate(EXPRESSIONS) if not name.startswith("eyeLook")]
    assert np.array_equal(edited.expression[:, others], still.expression[:, others])


def test_an_expression_replaces_the_face_but_for_speech() -> None:
    motion, other = _motion(6), _motion(6, 1)
    edited = apply_edits(motion, PerformanceConfig().tracks(6, expression=other))
    assert np.array_equal(edited.rotation, motion.rotation)
    for index, name in enumerate(EXPRESSIONS):
        own, theirs = motion.expression[:, index], other.expression[:, index]
        if name.startswith(("mouthSmile", "mouthFrown", "mouthDimple")):
            wanted = np.maximum(own, theirs)
        else:
            wanted = own if name.startswith(("jaw", "mouth", "tongue")) else theirs
        assert np.array_equal(edited.expression[:, index], wanted), name


def test_eye_turns_come_back() -> None:
    turn = np.deg2rad([[0.0, 0.0], [15.0, 8.0], [-20.0, -12.0]])
    made = with_eye_turn(np.zeros((3, 52), np.float32), turn)
    assert np.allclose(eye_turn(made), turn, atol=1e-6)
    assert made[1, expression_index("eyeLookOutLeft")] > 0.5  # the sitter's left is picture right
    assert made[1, expression_index("eyeLookInRight")] > 0.5


def test_eyes_and_camera_are_those_of_the_renderer() -> None:
    down, inward, outward, up = HeadModel.load().gaze_angles.mean(0)
    assert pytest.approx((inward + outward) / 2, rel=0.02) == LOOK_ASIDE
    assert pytest.approx(down, rel=0.02) == LOOK_DOWN
    assert pytest.approx(up, rel=0.02) == LOOK_UP
    assert CAMERA_DISTANCE == _CAMERA_DISTANCE


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.yaml", "[" * 20_000, "nested too deeply"),
        ("a.json", f'[{{"seconds": 0, "happy": {"9" * 400}}}]', "too large a number"),
        ("a.csv", "seconds,happy\n0," + "1" * 200_000, "is no CSV"),
        ("a.csv", "seconds,happy,happy\n0,1,0", "twice"),
        ("a.json", '{"seconds": [0], "happy": [1], "happy": [0]}', "twice"),
        ("a.yaml", "seconds: [0]\nhappy: [1]\nhappy: [0]", "twice"),
        ("a.yaml", "a: &a {x: 1}\nb: {<<: *a}", "merge"),
        ("a.csv", "", "empty"),
        ("a.csv", " " * 4_000_001, "bytes"),
    ],
)
def test_hostile_tables_are_refused_in_a_sentence(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        read_tracks(path)
    assert len(str(caught.value)) < 500 + len(str(path))


def test_aliases_within_aliases_are_not_written_out(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    path = tmp_path / "plan.yaml"
    path.write_text("- " + "\n  ".join(["seconds: 0", *lines]))
    with pytest.raises(InputError, match="a list for a0"):
        read_tracks(path)


def test_a_pipe_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "plan.csv"
    os.mkfifo(path)
    with pytest.raises(InputError, match="is a pipe or a device"):
        read_tracks(path)
