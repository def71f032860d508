"""Any timm backbone by name; what cannot be had is said in a sentence."""

import pytest
import timm
import torch

from obverse.detector.backbone import Pixels, build_backbone, choose_trained, feature_count
from obverse.errors import ConfigError, WeightsError

TINY = "test_resnet"


def test_features_are_counted_not_believed() -> None:
    backbone = build_backbone("test_efficientnet")
    count = feature_count(backbone, 64)
    assert backbone(torch.zeros(2, 3, 64, 64)).shape == (2, count)


def test_pixels_are_normalised_as_the_backbone_has_it() -> None:
    pixels = Pixels((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    crops = torch.tensor([[[[255, 0, 127]]]], dtype=torch.uint8)
    assert pixels(crops).flatten().tolist() == pytest.approx([2, -2, -0.008], abs=1e-3)
    assert pixels(torch.zeros(2, 5, 4, 4, 3, dtype=torch.uint8)).shape == (10, 3, 4, 4)


def test_a_part_of_it_can_be_trained() -> None:
    backbone = build_backbone("test_vit", size_px=64)
    choose_trained(backbone, "norms")
    trained = {name for name, p in backbone.named_parameters() if p.requires_grad}
    assert trained
    assert all("norm" in name for name in trained)
    choose_trained(backbone, "head")
    assert not any(p.requires_grad for p in backbone.parameters())


def test_what_cannot_be_had_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="no backbone called 'resnot'"):
        build_backbone("resnot")

    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(WeightsError, match="train with --from-scratch"):
        build_backbone(TINY, pretrained=True)
