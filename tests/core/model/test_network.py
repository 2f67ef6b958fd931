"""The recognizer: shapes, invariances and weight decay."""

import re

import pytest
import torch

from core.errors import OptionError
from core.model.network import Heads, QueryPool, ink_normalize, parameter_groups
from tests.helpers.networks import make


@pytest.mark.parametrize("head", ["query", "flatten", "pool"])
@pytest.mark.parametrize("stride", [8, 16, 32])
def test_every_head_gives_one_distribution_per_position(head: str, stride: int) -> None:
    """Logits are B x P x C, and every part learns."""
    model = make(head=head, stride=stride)

    logits_BPC = model(torch.rand(2, 3, 32, 96))
    logits_BPC.sum().backward()

    assert logits_BPC.shape == (2, 3, 10)
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("head", ["query", "flatten", "pool"])
def test_positions_have_their_own_embedding_and_head(head: str) -> None:
    """The position embedding alone distinguishes positions, even with the equal heads of the start."""
    torch.manual_seed(0)
    model = make(head=head).eval()

    logits_BPC = model(torch.rand(1, 3, 32, 96))

    assert (logits_BPC[:, 0] - logits_BPC[:, 1]).abs().max() > 1e-4


def test_attention_tells_cells_apart_from_the_start() -> None:
    """Turning the map upside down changes the slots about as much as another image does."""
    torch.manual_seed(0)
    pool, tokens_BLD = QueryPool(64, 6, 4, [0.5], 0.6), torch.randn(8, 24, 64)

    slots_BPD = pool(tokens_BLD)
    turned_BPD = pool(tokens_BLD.view(8, 6, 4, 64).flip(1).flatten(1, 2))

    assert (turned_BPD - slots_BPD).std() > 0.5 * slots_BPD.std(dim=0).mean()


def test_ink_knows_neither_polarity_nor_background() -> None:
    """Light on dark equals dark on light, in gray and in color."""
    stroke = torch.zeros(1, 1, 32, 96)
    stroke[:, :, 8:24, 30:34] = 1
    stroke[:, :, 12:14, 60:80] = 0.5
    white, black = torch.ones(1, 3, 1, 1), torch.zeros(1, 3, 1, 1)
    green, red = torch.tensor([0.1, 0.9, 0.2]).view(1, 3, 1, 1), torch.tensor([0.8, 0.1, 0.1]).view(1, 3, 1, 1)

    drawn = [paper + stroke * (ink - paper) for paper, ink in ((white, black), (black, white), (green, red))]

    for image in drawn:
        assert torch.allclose(ink_normalize(image), stroke.expand(-1, 3, -1, -1), atol=1e-5)


def test_a_blank_image_has_no_ink() -> None:
    """Nothing is divided by zero."""
    assert ink_normalize(torch.full((1, 3, 32, 96), 0.3)).abs().max() == 0


def test_heads_are_independent_linear_layers_that_begin_as_one() -> None:
    """Folded, they are plain layers with the same logits. They start equal and differ after a step."""
    torch.manual_seed(0)
    heads, slots_BPD = Heads(3, 10, 8, tied=True), torch.rand(4, 3, 8)
    assert (heads.weight_PCD() == heads.shared.weight).all()

    optimizer = torch.optim.SGD(heads.parameters(), lr=1.0)
    heads(slots_BPD)[:, 0, 5].sum().backward()
    optimizer.step()

    weight_PCD, bias_PC = heads.weight_PCD(), heads.bias_PC()
    assert not torch.equal(weight_PCD[0], weight_PCD[1])
    assert torch.equal(weight_PCD[1], weight_PCD[2])
    for position in range(3):
        plain = torch.nn.functional.linear(slots_BPD[:, position], weight_PCD[position], bias_PC[position])
        torch.testing.assert_close(heads(slots_BPD)[:, position], plain)

    before = heads(slots_BPD)
    heads.fold()
    assert torch.equal(heads(slots_BPD), before)
    assert torch.equal(heads.own, weight_PCD)
    assert not heads.shared.weight.any()


def test_untied_heads_share_nothing() -> None:
    """They start different, and a step for one does not change the others."""
    model = make(tied_heads=False)
    before = model.heads.weight_PCD().detach()
    assert not torch.equal(before[0], before[1])

    groups = parameter_groups(model, lr=1e-3, weight_decay=0.05)
    optimizer = torch.optim.SGD([{"params": group["params"], "lr": 1.0} for group in groups])
    model(torch.rand(2, 3, 32, 96))[:, 0].square().sum().backward()
    optimizer.step()

    after = model.heads.weight_PCD()
    assert not torch.equal(after[0], before[0])
    assert torch.equal(after[1:], before[1:])


def test_decay_spares_gains_norms_biases_and_embeddings() -> None:
    """The helper of timm decays NFNet gains, because they are four-dimensional."""
    model = make(backbone="test_nfnet")
    names = {id(parameter): name for name, parameter in model.named_parameters()}

    groups = parameter_groups(model, lr=1e-3, weight_decay=0.05)

    assert sum(len(group["params"]) for group in groups) == len(names)
    decayed = {names[id(parameter)] for group in groups if group["weight_decay"] for parameter in group["params"]}
    gains = [group for group in groups if group["lr"] == pytest.approx(3e-3)]
    assert {names[id(parameter)].rsplit(".", 1)[-1] for parameter in gains[0]["params"]} == {"gain"}
    assert any(name.endswith("conv3.weight") for name in decayed)
    assert {"heads.shared.weight", "heads.own"} <= decayed
    spared = ("gain", "bias", "pos", "prior_center", "prior_log_sigma")
    assert not [name for name in decayed if name.endswith(spared) or "norm" in name]


def test_an_impossible_backbone_is_refused() -> None:
    """A wrong name or an unavailable stride is reported in one sentence."""
    with pytest.raises(OptionError, match="no_such_net"):
        make(backbone="no_such_net")
    with pytest.raises(OptionError, match="no map of stride 64"):
        make(stride=64)
    with pytest.raises(OptionError, match="query, flatten, pool"):
        make(head="ctc")


@pytest.mark.parametrize(
    ("backbone", "stride", "reason"),
    [
        ("vit_tiny_patch16_224", 16, "Input height (48) doesn't match model (224)"),
        ("hrnet_w18_small", 8, "The size of tensor"),
    ],
)
def test_a_backbone_that_reads_no_images_of_this_size_is_refused(backbone: str, stride: int, reason: str) -> None:
    """Many need a fixed size, or sides that are multiples of their stride."""
    with pytest.raises(OptionError, match=re.escape(f"{backbone!r} cannot read images of 48x192: {reason}")):
        make(backbone=backbone, stride=stride, image_size=(48, 192))


def test_a_map_with_its_channels_last_is_read_by_rows_and_columns() -> None:
    """Swin and MambaOut return channels last. The grid must not include the channels."""
    model = make(backbone="test_mambaout")

    assert model.grid == (2, 6)
    assert model.tokens(torch.rand(1, 3, 32, 96)).shape == (1, 12, 32)


@pytest.mark.parametrize("stride", [16, 32])
def test_the_article_backbone_takes_odd_sizes(stride: int) -> None:
    """Run eca_nfnet_l0, whole and cut, on an image whose sides are not multiples of its stride."""
    model = make(backbone="eca_nfnet_l0", stride=stride, image_size=(42, 152))

    assert model(torch.rand(1, 3, 42, 152)).shape == (1, 3, 10)


def test_the_prior_follows_the_text_and_not_the_width() -> None:
    """When it distinguishes text from paper, a position follows its character wherever the text is."""
    pool = make().pool
    assert isinstance(pool, QueryPool)
    pool.text.weight.data[0, 0] = 10.0
    tokens_BLD = torch.zeros(2, pool.rows * pool.columns, 32)
    tokens_BLD[:, :, 0] = -1.0
    for sample, start in enumerate((0, 3)):  # three columns of text in each row, at a different place in each image
        for row in range(pool.rows):
            tokens_BLD[sample, row * pool.columns + start : row * pool.columns + start + 3, 0] = 1.0

    prior_BPL = pool.prior(tokens_BLD)

    assert prior_BPL[0, :, : pool.columns].argmax(dim=1).tolist() == [0, 1, 2]
    assert prior_BPL[1, :, : pool.columns].argmax(dim=1).tolist() == [3, 4, 5]
