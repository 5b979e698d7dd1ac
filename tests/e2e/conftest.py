"""One machine and one cluster for all tests of a module that can share them."""

from collections.abc import Iterator

import pytest
from machine import Machine


@pytest.fixture(scope="module")
def machine(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Machine]:
    """A bare machine."""
    name = request.module.__name__.rpartition(".")[2].removeprefix("test_").replace("_", "-")[:20]
    made = Machine(tmp_path_factory.mktemp("machine"), name)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def cluster(machine: Machine) -> Machine:
    """A machine with its cluster up."""
    machine.sampan("up", "-q")
    return machine


@pytest.fixture
def kubectl(cluster: Machine) -> Machine:
    if not cluster.kubectl_program:
        pytest.skip("no kubectl ($KUBECTL or PATH)")
    return cluster
