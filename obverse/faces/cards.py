"""What the cards of this room's weights say, beside the name, file and sha256 that are computed."""

from typing import Any

__all__ = ["CARDS"]

_COMMAND = "python -m obverse.faces.convert -o obverse/faces/weights"
_UNWANTED = [
    "identifying or recognising a person",
    "inferring emotion, health, character or any protected attribute",
    "surveillance, or life-critical decisions",
]
_TASK = "Google MediaPipe, face_landmarker.task of 2023-05-03 (float16), sha256 64184e22...bc9ff"
_LANDMARKER_DATA = (
    "not trained here. Google's model card: pictures by mobile cameras, annotated for the face "
    "mesh; evaluated by Google by region, skin tone and gender."
)


def _card(**fields: Any) -> dict[str, Any]:
    return {"licence": "Apache-2.0", **fields, "made_by": _COMMAND, "unwanted_uses": _UNWANTED}


CARDS: dict[str, dict[str, Any]] = {
    "detector.onnx": _card(
        source=f"{_TASK}: face_detector.tflite (BlazeFace, short range)",
        preprocessing="input [1, 3, 128, 128] RGB in [-1, 1], letterboxed with black",
        outputs="boxes [1, 896, 16] px relative to anchors (centre, size, six key points); "
        "scores [1, 896, 1] logits",
        data="not trained here. Google's model card: pictures by mobile cameras, near faces.",
        results="outputs equal LiteRT's within 1.1e-4",
    ),
    "landmarks.onnx": _card(
        source=f"{_TASK}: face_landmarks_detector.tflite",
        preprocessing="input [1, 3, 256, 256] RGB in [0, 1]: an upright square about the face, "
        "1.5 times its box",
        outputs="landmarks [1, 1434, 1, 1]: 478 x (x, y, z) px; presence [1, 1, 1, 1] logit; "
        "tongue [1, 1] in [0, 1] (unreliable and unused: .01 for a tongue plainly out)",
        data=_LANDMARKER_DATA,
        results="landmarks equal LiteRT's within 4e-4 px; PReLU is written as convolutions, "
        "2 to 3 times as fast in ONNX Runtime",
    ),
    "blendshapes.onnx": _card(
        source=f"{_TASK}: face_blendshapes.tflite",
        preprocessing="input [1, 146, 2]: x, y px of the landmarks in "
        "obverse.faces.landmarks.BLENDSHAPE_POINTS",
        outputs="expression [52] in [0, 1]: _neutral, then 51 ARKit coefficients in alphabetical "
        "order (no tongueOut)",
        data=_LANDMARKER_DATA,
        results="outputs equal LiteRT's within 1e-6",
    ),
    "geometry.safetensors": _card(
        source=f"{_TASK}: geometry_pipeline_metadata_landmarks.binarypb",
        preprocessing="none; axes turned to x right, y down, z away",
        outputs="vertices [468, 3] cm, texture [468, 2], triangles [898, 3], rigidity [468]",
        data="a mean face shape drawn by Google, of no person",
        results="not applicable",
    ),
    "matte.onnx": _card(
        source="Google MediaPipe 0.10.21, modules/selfie_segmentation/selfie_segmentation.tflite",
        preprocessing="input [1, 3, 256, 256] RGB in [0, 1]",
        outputs="matte [1, 1, 256, 256] in [0, 1], 1 = person",
        data="not trained here. Google's model card: selfies and video calls, people within 2 m.",
        results="MediaPipe's own Convolution2DTransposeBias is written as ConvTranspose",
    ),
}
