"""RTMPose's layout: a stand-in for onnxruntime's session, so that no package and no weights are needed."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tests_support_video import L

from d2m.core.errors import BadConfig, BadInput
from d2m.video import pose
from d2m.video.onnx_pose import OnnxDetector
from d2m.video.pose import find_landmarks, open_detector
from d2m.video.reader import Frame

PLACES = {
    0: (0, -0.9), 1: (0.03, -0.93), 2: (-0.03, -0.93), 3: (0.07, -0.9), 4: (-0.07, -0.9), 5: (0.18, -0.65), 6: (-0.18, -0.65),
    7: (0.22, -0.4), 8: (-0.22, -0.4), 9: (0.24, -0.15), 10: (-0.24, -0.15), 11: (0.1, -0.05), 12: (-0.1, -0.05),
    13: (0.1, 0.4), 14: (-0.1, 0.4), 15: (0.1, 0.85), 16: (-0.1, 0.85),
}  # fmt: skip
"""COCO's keypoints around the middle of somebody of about 1.8 m."""


class Session:
    """Finds a red spot, the dancer's middle, in the part that it is shown, and puts a body of the spot's size there."""

    def __init__(self, keypoints: int = 17, height: int = 256, width: int = 192) -> None:
        self.keypoints, self.height, self.width = keypoints, height, width

    def get_inputs(self) -> list:
        return [SimpleNamespace(name="input", shape=["batch", 3, self.height, self.width])]

    def get_outputs(self) -> list:
        return [SimpleNamespace(name="simcc_x"), SimpleNamespace(name="simcc_y")]

    def run(self, names: None, given: dict[str, np.ndarray]) -> list[np.ndarray]:
        shown = given["input"]
        assert shown.shape == (1, 3, self.height, self.width) and shown.dtype == np.float32
        columns = np.zeros((1, self.keypoints, 2 * self.width), np.float32)
        rows = np.zeros((1, self.keypoints, 2 * self.height), np.float32)
        is_red = (shown[0, 0] > 1) & (shown[0, 1] < -1)
        if is_red.any():
            y, x = (float(axis.mean()) for axis in np.nonzero(is_red))
            unit = 10 * np.sqrt(is_red.sum())  # the spot is a tenth of a metre, seen by the network
            for point in range(self.keypoints):
                to_x, to_y = PLACES.get(point, (0, 0.9))
                columns[0, point, int(np.clip(2 * (x + to_x * unit), 0, 2 * self.width - 1))] = 0.9
                rows[0, point, int(np.clip(2 * (y + to_y * unit), 0, 2 * self.height - 1))] = 0.9
        return [columns, rows]


def picture(x: int, y: int = 120) -> np.ndarray:
    made = np.full((240, 320, 3), 90, np.uint8)
    made[y - 4 : y + 4, x - 4 : x + 4] = 255, 0, 0  # 80 pixels a metre
    return made


@pytest.mark.parametrize("keypoints", [17, 26, 133])
def test_the_person_is_where_the_picture_has_them(keypoints: int) -> None:
    found = OnnxDetector(Path("rtm.onnx"), Session(keypoints)).people(picture(160), 0.0)
    assert len(found) == 1
    image = found[0].image * (320, 240, 1)
    assert np.allclose(image[L["left_shoulder"], :2], [160 + 0.18 * 80, 120 - 0.65 * 80], atol=3)
    assert np.allclose(image[L["right_ankle"], :2], [160 - 0.1 * 80, 120 + 0.85 * 80], atol=6)
    assert image[L["nose"], 2] == pytest.approx(0.9) and not found[0].world.any()


def test_a_film_by_a_network_without_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = OnnxDetector(Path("rtm.onnx"), Session())
    monkeypatch.setattr(pose, "open_detector", lambda *_, **__: detector)
    pictures = [picture(120 + 3 * number) for number in range(10)] + [np.full((240, 320, 3), 90, np.uint8)]
    found = find_landmarks([Frame(one, number / 25) for number, one in enumerate(pictures)], (320, 240))
    assert found.seen.tolist() == [True] * 10 + [False]
    elbows = found.image[:10, L["left_elbow"], 0] * 320
    assert np.allclose(np.diff(elbows), 3, atol=2)
    world = found.world[:10]
    assert np.allclose(
        np.linalg.norm(world[:, L["left_knee"]] - world[:, L["left_hip"]], axis=-1), 0.45 * 1.45 / 1.75, atol=0.05
    )
    assert (world[:, L["left_shoulder"], 1] < 0).all() and not found.world[10].any()


def test_other_networks_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadConfig, match=r"none\.onnx: no such file"):
        open_detector(tmp_path / "none.onnx")
    with pytest.raises(BadConfig, match="expected .* keypoints; give a network of RTMPose for bodies"):
        OnnxDetector(Path("hand.onnx"), Session(21)).people(picture(100), 0.0)
    one_output = Session()
    one_output.get_outputs = lambda: [SimpleNamespace(name="heatmap")]  # type: ignore[method-assign]
    with pytest.raises(BadConfig, match="found inputs .* and 1 outputs, expected one picture"):
        OnnxDetector(Path("heat.onnx"), one_output)
    (tmp_path / "x.onnx").write_bytes(b"no network")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BadInput, match=r"pip install 'd2m\[onnx\]'"):
        open_detector(tmp_path / "x.onnx")

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("INVALID_PROTOBUF")

    runtime = SimpleNamespace(SessionOptions=SimpleNamespace, InferenceSession=refuse)
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    with pytest.raises(BadConfig, match=r"x\.onnx: not an ONNX network \(INVALID_PROTOBUF\)"):
        open_detector(tmp_path / "x.onnx")
