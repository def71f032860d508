"""Write the motion model's network as one ONNX file that holds all the run time needs."""

import json
import warnings
from pathlib import Path

import onnx
import torch

from obverse.files import draft_of
from obverse.generator.cues import CUES
from obverse.generator.flow_net import FlowNet, HopNet
from obverse.generator.motion_space import HOP_FRAMES, MEMORY, STYLES, MotionSpace
from obverse.weights import sha256_file

__all__ = ["export"]

_INPUTS = ("noisy", "clean", "time", "style", "absent", "kept")
_OUTPUTS = ("guess", "made")


def export(net: FlowNet, space: MotionSpace, path: Path) -> str:
    """Write the network and its space; returns the file's sha256."""
    config = net.config
    hop = HopNet(net.eval()).eval()
    variants = 2
    noisy = 2 * config.components + config.conditions + MEMORY + 1
    clean = HOP_FRAMES * (config.components + config.conditions) + MEMORY
    examples = (
        torch.zeros(variants, HOP_FRAMES, noisy),
        torch.zeros(variants, clean),
        torch.zeros(1),
        torch.zeros(1, len(STYLES) + 1),
        torch.zeros(variants, config.reach + HOP_FRAMES),
        torch.zeros(config.layers, 2, variants, config.reach - 1, config.width),
    )
    axes = {name: {0: "variants"} for name in ("noisy", "clean", "absent")}
    axes |= {"kept": {2: "variants"}, "guess": {0: "variants"}, "made": {2: "variants"}}
    path.parent.mkdir(parents=True, exist_ok=True)
    with draft_of(path) as draft:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracing exporter announces that it is the old one
            torch.onnx.export(
                hop,
                examples,
                str(draft),
                input_names=list(_INPUTS),
                output_names=list(_OUTPUTS),
                dynamic_axes=axes,
                opset_version=17,
                dynamo=False,
            )
        model = onnx.load(str(draft))
        about = {
            **space.pack(),
            "cues": json.dumps(list(CUES[: config.cues])),
            "size": json.dumps(
                {"layers": config.layers, "reach": config.reach, "width": config.width}
            ),
        }
        for key, value in about.items():
            row = model.metadata_props.add()
            row.key, row.value = key, value
        onnx.save(model, str(draft))
    return sha256_file(path)
