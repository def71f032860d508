"""Any timm backbone by name; what cannot be had is said in a sentence."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from obverse.detector.backbone import (
    Pixels,
    begin_with,
    build_backbone,
    choose_trained,
    feature_count,
)
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


def test_a_backbone_begins_with_weights_from_a_file(tmp_path: Path) -> None:
    given, backbone = (build_backbone("test_resnet") for _ in range(2))
    names = list(given.state_dict())
    # As torchvision's: other names, the same order, a classifier at the end.
    renamed = {f"layer{i}": value for i, value in enumerate(given.state_dict().values())}
    torch.save({**renamed, "classifier": torch.zeros(3)}, tmp_path / "other.pth")
    save_file(given.state_dict(), tmp_path / "same.safetensors")
    for file in ("other.pth", "same.safetensors"):
        fresh = build_backbone("test_resnet")
        assert not torch.equal(fresh.state_dict()[names[0]], given.state_dict()[names[0]])
        begin_with(fresh, tmp_path / file)
        assert all(torch.equal(fresh.state_dict()[n], given.state_dict()[n]) for n in names)
    with pytest.raises(WeightsError, match="another architecture"):
        begin_with(build_backbone("test_vit"), tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(WeightsError, match="cannot be read"):
        begin_with(backbone, tmp_path / "text.pth")
