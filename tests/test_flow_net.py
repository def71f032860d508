"""The motion network: what training sees at once is what the run time sees hop by hop."""

import pytest
import torch

from obverse.errors import ConfigError
from obverse.generator.flow_net import FlowNet, FlowNetConfig, HopNet
from obverse.generator.motion_space import HOP_FRAMES, MEMORY

SMALL = FlowNetConfig(components=7, cues=5, width=24, layers=3, heads=3, reach=3)


def random_net() -> FlowNet:
    torch.manual_seed(0)
    net = FlowNet(SMALL).eval()
    for value in net.parameters():
        torch.nn.init.normal_(value, std=0.2)
    return net


@torch.no_grad()
def test_hop_by_hop_gives_what_all_hops_at_once_give() -> None:
    net, hops = random_net(), 8
    noisy = torch.randn(1, hops, HOP_FRAMES, 2 * 7 + SMALL.conditions + MEMORY + 1)
    clean = torch.randn(1, hops, HOP_FRAMES * (7 + SMALL.conditions) + MEMORY)
    time, style = torch.rand(1, hops), torch.randn(1, 9)
    whole = net(noisy, clean, time, style, torch.zeros(1, hops, dtype=torch.bool))
    hop = HopNet(net)
    kept = torch.zeros(SMALL.layers, 2, 1, SMALL.reach - 1, SMALL.width)
    before = torch.zeros_like(clean[:, 0])
    for index in range(hops):
        absent = torch.zeros(1, SMALL.reach + HOP_FRAMES)
        absent[:, : max(0, SMALL.reach - index)] = 1.0
        guess, made = hop(noisy[:, index], before, time[:, index], style, absent, kept)
        assert torch.allclose(guess, whole[:, index], atol=1e-4)
        if index:
            kept = torch.cat([kept[:, :, :, 1:], made], 3)
        before = clean[:, index]


@torch.no_grad()
def test_a_hop_sees_no_later_hop_and_a_blind_one_no_clean_hop() -> None:
    net, hops = random_net(), 5
    noisy = torch.randn(2, hops, HOP_FRAMES, 2 * 7 + SMALL.conditions + MEMORY + 1)
    clean = torch.randn(2, hops, HOP_FRAMES * (7 + SMALL.conditions) + MEMORY)
    time, style = torch.rand(2, hops), torch.randn(2, 9)
    blind = torch.zeros(2, hops, dtype=torch.bool)
    blind[1] = True
    first = net(noisy, clean, time, style, blind)
    changed = clean.clone()
    changed[:, 2] += 1.0
    second = net(noisy, changed, time, style, blind)
    assert torch.equal(first[0, :3], second[0, :3])
    assert not torch.allclose(first[0, 3:], second[0, 3:])
    assert torch.equal(first[1], second[1])


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="multiple of its heads"):
        FlowNetConfig(components=7, cues=5, width=25, heads=3)
