"""A bar per frame or clip where it is in time, as high as its score."""

import re

from omnicli.stages.report.segments import ScoredSpan
from omnicli.stages.report.timeline import MAX_BARS, draw_timeline


def bars(markup):
    """(class, x, y, width, height) of every bar."""
    shape = r'<rect class="(\w+)" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)">'
    return [(found[0], *map(float, found[1:])) for found in re.findall(shape, markup)]


def spans(*scores, threshold=0.5, start_sec=0.0):
    return [ScoredSpan(start_sec + at, start_sec + at + 1.0, score, score >= threshold)
            for at, score in enumerate(scores)]  # fmt: skip


def test_bars_stand_in_time_with_their_score_and_the_threshold_across():
    drawn = draw_timeline(spans(0.0, 0.5, 1.0), threshold=0.5, label="<v>")
    low, middle, high = bars(drawn)
    assert [bar[0] for bar in (low, middle, high)] == ["before", "kept", "kept"]
    assert low[1] < middle[1] < high[1] and high[4] == 2 * middle[4] > low[4]
    assert f'y1="{middle[2]:.1f}"' in drawn.split('class="cut"')[1]  # the threshold, at 0.5
    assert "&lt;v&gt;" in drawn and "<title>1 s: 0.500, positive</title>" in drawn
    assert 'class="cut"' not in draw_timeline(spans(0.5), threshold=None, label="")


def test_a_long_video_has_few_bars_and_loses_no_peak():
    scores = [0.1] * 3600
    scores[1801] = 0.9
    drawn = bars(draw_timeline(spans(*scores), threshold=0.5, label=""))
    assert len(drawn) == MAX_BARS
    [peak] = [bar for bar in drawn if bar[0] == "kept"]
    assert peak[4] == max(bar[4] for bar in drawn) > 5 * drawn[0][4]
    assert min(bar[3] for bar in drawn) > 0


def test_clips_start_at_the_beginning_of_their_video_and_a_part_at_its_own():
    whole, part = (bars(draw_timeline(spans(0.9, 0.9, start_sec=at), threshold=None, label=""))[0] for at in (1.0, 600))
    assert whole[1] > part[1]
