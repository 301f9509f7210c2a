"""Hypothesis strategies over architectures, and the stacks of Jafari & Jafari."""

from hypothesis import strategies as st

from space import FRONT_ENDS, POOLINGS, SAMPLINGS, Architecture, RecurrentLayer, Space

TIERS = ("superclass", "subclass", "diagnostic", "all")
LSTM = RecurrentLayer(cell="lstm")
BILSTM = RecurrentLayer(cell="lstm", bidirectional=True)
GRU = RecurrentLayer(cell="gru")
BIGRU = RecurrentLayer(cell="gru", bidirectional=True)

recurrent_layers = st.sampled_from([LSTM, BILSTM, GRU, BIGRU])


def indices(space: Space) -> st.SearchStrategy[int]:
    """Positions in the listing of a space."""
    return st.integers(0, len(space) - 1)


def members(space: Space) -> st.SearchStrategy[Architecture]:
    """Architectures of a space."""
    return indices(space).map(space.__getitem__)


@st.composite
def arbitrary(draw) -> Architecture:
    """Any valid architecture, also with widths and weights that no space lists."""
    return Architecture(
        backbone=draw(st.sampled_from(sorted(FRONT_ENDS))),
        kernel=draw(st.sampled_from([None, 1, 3, 9])),
        stride=draw(st.sampled_from([None, 1, 2, 3])),
        pooling=draw(st.sampled_from(sorted(POOLINGS))),
        head=draw(st.sampled_from(["dense", "bottleneck", "linear"])),
        dropout=draw(st.floats(0, 0.9)),
        recurrent=draw(st.lists(recurrent_layers, max_size=3).map(tuple)),
        hidden_size=draw(st.integers(1, 300)),
        width=draw(st.floats(0.02, 1)),
        head_width=2 * draw(st.integers(1, 300)),
        gate=draw(st.sampled_from([0, 4, 16])),
        sampling=draw(st.sampled_from(sorted(SAMPLINGS))),
        loss=draw(st.sampled_from(["bce", "power", "focal", "balanced"])),
        exponent=draw(st.floats(0.01, 1)),
        cap=draw(st.floats(1, 1e6)),
        label_smoothing=draw(st.floats(0, 0.49)),
        label_tier=draw(st.sampled_from(TIERS)),
    )


STACKS = {
    "cnn": (528_983, 537_447, 562_071),
    "cnn-gru": (611_671, 613_855, 620_023),
    "cnn-lstm": (661_079, 663_263, 669_431),
    "cnn-bilstm": (924_247, 932_711, 957_335),
    "cnn-lstm-bilstm": (991_063, 999_527, 1_024_151),
    "cnn-bilstm-lstm": (1_056_855, 1_059_039, 1_065_207),
    "cnn-gru-bilstm-lstm": (1_074_263, 1_076_447, 1_082_615),
}
"""Trainable parameters on 23 classes without a gate, with reduction 16 and with reduction 4, worked out from
Table 1 of Jafari & Jafari layer by layer under PyTorch's conventions."""
