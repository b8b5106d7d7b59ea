"""A Ray cluster of several nodes on this machine, in a process of its own, that tests and benchmarks give orders.

    python ray_cluster.py NODES CPUS    # prints the address

Each line of stdin is an order: ``remove`` takes the oldest node away (never the head), ``add`` adds one. The answer is
``ok``. The end of stdin ends the cluster.
"""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

MEMORY = 100 << 20  # of the object store of each node; results are small


def main(num_nodes: int, cpus: int) -> None:
    """Start the cluster and obey."""
    warnings.simplefilter("ignore")
    from ray.cluster_utils import Cluster

    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": MEMORY})
    nodes = [cluster.add_node(num_cpus=cpus, object_store_memory=MEMORY) for _ in range(num_nodes)]
    cluster.wait_for_nodes()
    print(cluster.address, flush=True)
    for order in sys.stdin:
        if order.strip() == "remove":
            cluster.remove_node(nodes.pop(0))
        else:
            nodes.append(cluster.add_node(num_cpus=cpus, object_store_memory=MEMORY))
        print("ok", flush=True)
    cluster.shutdown()


class RunningCluster:
    """The cluster of ``main`` in another process. A context manager.

    Attributes:
        address: for ``--ray-address``.
    """

    def __init__(self, num_nodes: int, cpus: int = 1, environment: Any = None) -> None:
        command = [sys.executable, str(Path(__file__)), str(num_nodes), str(cpus)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1,
            env=environment,
        )  # fmt: skip
        self.address = self._answer()

    def __enter__(self) -> "RunningCluster":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate(timeout=300)

    def order(self, what: str) -> None:
        """``remove`` or ``add`` a node, and wait until it is done."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
