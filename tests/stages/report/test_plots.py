import re
import xml.etree.ElementTree as ElementTree

from hypothesis import example, given
from hypothesis import strategies as st

from omnicli.stages.report import plots

NUMBERS = st.floats(min_value=-1e6, max_value=1e6, allow_nan=False)
COUNTS = st.lists(st.integers(min_value=0, max_value=10**7), min_size=1, max_size=50)


def elements(markup, tag):
    return [element for element in ElementTree.fromstring(markup).iter() if element.tag == tag]


@given(NUMBERS, NUMBERS)
@example(0.0, 5e-324)
def test_ticks_are_few_ascending_and_inside(first, second):
    low, high = sorted((first, second))
    ticks = plots.nice_ticks(low, high)
    slack = 1e-9 * max(abs(low), abs(high), 1)
    assert len(ticks) <= 6
    assert ticks == sorted(set(ticks))
    assert all(low - slack <= tick <= high + slack for tick in ticks)


@given(st.lists(st.integers(min_value=0, max_value=100), min_size=1, max_size=40))
def test_bars_of_a_histogram_are_as_tall_as_their_counts(kept):
    rejected = list(reversed(kept))
    bars = elements(plots.histogram(kept, rejected, threshold=0.5), "rect")
    tallest = max(below + above for below, above in zip(kept, rejected, strict=True))
    room = plots.HEIGHT - plots.BOTTOM - plots.TOP
    for outcome, counts in (("kept", kept), ("rejected", rejected)):
        heights = [float(bar.get("height")) for bar in bars if bar.get("class") == outcome]
        expected = [count / tallest * room for count in counts if count]
        assert all(abs(height - wanted) < 0.1 for height, wanted in zip(heights, expected, strict=True))


def test_the_threshold_stands_where_it_belongs():
    (line,) = [line for line in elements(plots.histogram([1] * 10, [0] * 10, threshold=0.25), "line")
               if line.get("class") == "cut"]  # fmt: skip
    inside = plots.WIDTH - plots.LEFT - plots.RIGHT
    assert abs(float(line.get("x1")) - (plots.LEFT + 0.25 * inside)) < 0.1


def test_a_histogram_without_a_threshold_has_no_line():
    assert 'class="cut"' not in plots.histogram([1], [0], threshold=None)


@given(
    st.dictionaries(
        st.text(min_size=1), st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=5), min_size=1, max_size=4
    )
)
def test_every_series_becomes_one_line_inside_the_plot(series):
    printable = {
        "".join(c if c.isprintable() else "?" for c in name) + str(i): line
        for i, (name, line) in enumerate(series.items())
    }
    markup = plots.line_chart(printable, x_label="epoch")
    lines = elements(markup, "polyline")
    assert len(lines) == len(series)
    for line in lines:
        for point in line.get("points").split():
            x, y = map(float, point.split(","))
            assert plots.LEFT - 0.1 <= x <= plots.WIDTH - plots.RIGHT + 0.1
            assert plots.TOP - 0.1 <= y <= plots.HEIGHT - plots.BOTTOM + 0.1


def test_names_are_escaped_everywhere():
    nasty = '<script>alert("x")</script>&'
    for markup in (
        plots.heat_map([[1, 2], [3, 4]], [nasty, "b"]),
        plots.line_chart({nasty: [(0, 1), (1, 2)]}, x_label=nasty, y_label=nasty),
    ):
        assert "<script" not in markup
        ElementTree.fromstring(markup)


def test_a_heat_map_shades_by_the_share_of_the_row_and_marks_the_diagonal():
    cells = list(elements(plots.heat_map([[3, 1], [0, 5]], ["a", "b"]), "rect"))
    assert [cell.get("class") for cell in cells] == ["cell own", "cell", "cell", "cell own"]
    opacity = [float(cell.get("fill-opacity")) for cell in cells]
    assert opacity == sorted(opacity, key=lambda value: [0.75, 0.25, 0.0, 1.0].index(round((value - 0.05) / 0.95, 2)))


def test_counts_that_differ_much_are_drawn_logarithmically_and_one_record_is_still_seen():
    assert plots.needs_log([1, 31]) and not plots.needs_log([1, 30]) and not plots.needs_log([0, 0])
    assert 0.02 < plots.bar_length(1, 10**6, log=True) < plots.bar_length(2, 10**6, log=True)
    assert plots.bar_length(10**6, 10**6, log=True) == 1


@given(COUNTS, COUNTS)
def test_a_rank_plot_falls_from_left_to_right(before, after):
    after = (after * len(before))[: len(before)]
    for area in elements(plots.rank_plot(before, after), "polygon"):
        heights = [float(point.split(",")[1]) for point in area.get("points").split()][1:-1]
        assert heights == sorted(heights)


def test_plots_take_their_colours_from_the_page():
    markup = plots.histogram([1, 2], [2, 1], threshold=0.5) + plots.share_curve([1.0, 0.5, 0.0] * 7, threshold=None)
    assert not re.search(r"#[0-9a-f]{3,6}|rgb\(", markup)
