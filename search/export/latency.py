"""Latency of an architecture before it is trained: its graph with random weights, in onnxruntime.

How long an inference takes does not depend on the values of the weights, so that an untrained model will do.
What has been measured on this machine is kept in a folder, and never measured again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import space
from search.errors import SearchError
from search.models.costs import costs_of, network_values
from storage.files import write_whole

if TYPE_CHECKING:
    from search.export.runtime import Latency


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyMeter:
    """Meter of latencies on this machine; onnxruntime is loaded by the first measurement only.

    Args:
        cache_dir: folder of earlier measurements.
    """

    cache_dir: Path

    @property
    def machine(self) -> str:
        """Processor and runtime in words; latencies of others cannot be compared."""
        import onnxruntime

        from search.training.device import processor_name

        return f"{processor_name()}, onnxruntime {onnxruntime.__version__}"

    def measure(self, architecture: space.Architecture, n_outputs: int, inputs: space.Inputs) -> Latency:
        """Latency of one record on one CPU thread: median and 99th percentile.

        Args:
            architecture: any point of the space.
            n_outputs: classes of the label tier it is trained on.
            inputs: inputs that the data set offers.

        Raises:
            UsageError: a module has no operators of ONNX; the message names it.
            SearchError: the folder of the cache cannot be written.
        """
        from search.export.runtime import Latency
        from search.export.untrained import time_graph, untrained_graph

        file = self.cache_dir / "latency" / f"{self._key(architecture, n_outputs, inputs)}.json"
        try:
            return Latency(**json.loads(file.read_text(encoding="utf-8"))["latency"])
        except (OSError, ValueError, KeyError, TypeError):  # not there, or not whole
            found = time_graph(*untrained_graph(architecture, n_outputs, inputs))
        document = {"machine": self.machine, "model": architecture.describe(), "latency": asdict(found)}
        try:
            write_whole(file, json.dumps(document, ensure_ascii=False, indent=1).encode())
        except OSError as error:
            raise SearchError(f"{file} cannot be written: {error.strerror or error}") from error
        return found

    def throughput(self, architecture: space.Architecture, n_outputs: int, inputs: space.Inputs) -> float:
        """Records a second on one CPU thread, in batches; arguments and errors as for `measure`."""
        from search.export.untrained import throughput, untrained_graph

        content, fed = untrained_graph(architecture, n_outputs, inputs)
        return throughput(content, fed, self.measure(architecture, n_outputs, inputs))

    def speed(
        self, architecture: space.Architecture, n_outputs: int, inputs: space.Inputs
    ) -> dict[str, float | str]:
        """Latency and throughput on one CPU thread, ready for JSON; arguments and errors as for `measure`."""
        found = self.measure(architecture, n_outputs, inputs)
        return {
            "median_ms": found.median_ms,
            "p99_ms": found.p99_ms,
            "records_per_second": self.throughput(architecture, n_outputs, inputs),
            "machine": self.machine,
        }

    def _key(self, architecture: space.Architecture, n_outputs: int, inputs: space.Inputs) -> str:
        # Losses and the like change no latency. Costs tell a cell or front end of a space file from
        # another of the same name.
        known: dict[str, Any] = {
            "network": network_values(architecture),
            "outputs": n_outputs,
            "inputs": asdict(inputs),
            "costs": costs_of(architecture, n_outputs, inputs).to_dict(),
            "machine": self.machine,
        }
        return hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()[:24]
