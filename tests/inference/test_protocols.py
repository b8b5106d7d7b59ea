"""The bound scorers and extractors have the parameters that the protocols name."""

import inspect
import subprocess
import sys

import pytest

from omnicli.inference.protocols import ExtractFeatures, ScoreRecords, ScoreVideos
from omnicli.inference.scorer import extract_features, score_records
from omnicli.inference.video_scorer import score_videos


@pytest.mark.parametrize(
    ("protocol", "function"),
    [(ScoreRecords, score_records), (ScoreVideos, score_videos), (ExtractFeatures, extract_features)],
)
def test_the_function_accepts_every_parameter_of_its_protocol(protocol, function):
    wanted, own = (inspect.signature(call).parameters for call in (protocol.__call__, function))
    for name in set(wanted) - {"self"}:
        assert own[name].kind is wanted[name].kind
        assert own[name].annotation == wanted[name].annotation


def test_the_protocols_load_no_torch():
    script = "import sys, omnicli.inference.protocols; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
