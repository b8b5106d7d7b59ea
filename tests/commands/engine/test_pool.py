"""The pools do what the driver asks for."""

import inspect

from omnicli.commands.engine.local_pool import LocalPool
from omnicli.commands.engine.pool import Pool
from omnicli.commands.engine.ray_pool import RayPool


def test_every_pool_has_the_methods_that_the_driver_calls():
    wanted = {name: inspect.signature(method) for name, method in vars(Pool).items() if not name.startswith("_")}
    for pool in (LocalPool, RayPool):
        assert {name: inspect.signature(getattr(pool, name)) for name in wanted} == wanted
