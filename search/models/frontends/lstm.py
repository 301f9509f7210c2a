"""LSTM layers on the raw signal, `lstm` and `lstm_bidir` of Strodthoff et al. 2021 ("Deep learning for ECG
analysis: benchmarks and insights from PTB-XL").

After their code, github.com/helme/ecg_ptbxl_benchmarking, code/models/rnn1d.py: two layers of 256 units a
direction, neither norm nor dropout between them. Chosen by us: the initial weights, which are those of every
LSTM here (`search.models.cells`), and records that enter whole, where the benchmark cuts windows of 2.5 s.
"""

from functools import partial

from search.models.frontends.layers import Layer, Layers, Recurrent
from space import RecurrentLayer

N_LAYERS = 2


def _layers(n_leads: int, width: int, kernel: int | None = None, *, bidirectional: bool) -> Layers:
    """LSTM layers of `width` units a direction at full length."""
    lstm = RecurrentLayer(cell="lstm", bidirectional=bidirectional)
    found: list[Layer] = []
    n_in = n_leads
    for _ in range(N_LAYERS):
        found.append(Recurrent(n_in, width, lstm))
        n_in = lstm.n_directions * width
    return tuple(found)


layers_forwards = partial(_layers, bidirectional=False)
layers_both_ways = partial(_layers, bidirectional=True)
