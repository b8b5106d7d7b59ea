"""Downloads of weights: an answer within seconds where there is no network."""

import socket
import threading
import time

import pytest
from huggingface_hub import constants

from omnicli.errors import ModelError
from omnicli.models.architectures import new_model
from omnicli.models.downloads import can_connect, failing_fast

HUB = "https://hub.invalid"


@pytest.fixture
def listening():
    """The port of a socket that accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed():
    """A port that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def proxy(monkeypatch):
    """``proxy(port)`` names a local proxy for every host, as the environment of a machine without a network may."""
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def through(port):
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")

    return through


def test_a_host_is_reached_directly_or_through_its_proxy(listening, closed, proxy, monkeypatch):
    assert can_connect(f"http://127.0.0.1:{listening}/models")
    assert not can_connect(f"http://127.0.0.1:{closed}/models")
    proxy(listening)
    assert can_connect(HUB)
    proxy(closed)
    assert not can_connect(HUB)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert can_connect(f"http://127.0.0.1:{listening}/models")


def test_a_name_server_that_does_not_answer_costs_no_more_than_the_timeout(monkeypatch, proxy):
    answered = threading.Event()

    def resolve(*arguments, **options):
        answered.wait(5)
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", resolve)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert not can_connect(HUB, timeout_sec=0.01)
    assert not answered.is_set()
    answered.set()


def test_only_an_unreachable_hub_is_taken_from_the_cache_and_afterwards_all_is_as_before(listening, closed, proxy):
    for port, is_offline in ((closed, True), (listening, False)):
        proxy(port)
        with failing_fast():
            assert constants.HF_HUB_OFFLINE is is_offline
            assert socket.getdefaulttimeout()
        assert constants.HF_HUB_OFFLINE is False
        assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize(
    ("backbone", "weights"), [("resnet10t", "resnet10t.c3_in1k"), ("torchvision.resnet18", "torchvision.resnet18")]
)
def test_without_a_network_the_remedy_comes_without_a_retry(backbone, weights, closed, proxy, monkeypatch, tmp_path):
    proxy(closed)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it waits to try again"))
    with pytest.raises(ModelError, match=f"cannot be downloaded .*--init {weights}.safetensors") as raised:
        new_model(f"tsn-{backbone}", 2, pretrained=True)
    assert ("model.safetensors of huggingface.co/timm/resnet10t." in str(raised.value)) is (backbone == "resnet10t")
