"""What is asked for: the papers' own examples, and properties of every name."""

import itertools
import unicodedata
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.stages.queries import (
    base_of_ing,
    date_windows,
    hashtag_queries,
    hashtags,
    nested_subset,
    product_names,
    search_queries,
    words_of,
)
from omnicli.streams.class_names import bare_name

KINETICS = [
    "abseiling", "air drumming", "answering questions", "applauding", "archery", "baking cookies", "bee keeping",
    "catching or throwing baseball", "celebrating", "country line dancing", "dancing gangnam style", "dying hair",
    "getting a haircut", "giving or receiving award", "high kick", "hurling (sport)", "making a cake",
    "massaging person's head", "passing American football (in game)", "playing harp", "pull ups", "riding a bike",
    "rock scissors paper", "shooting goal (soccer)", "swimming butterfly stroke", "tai chi",
    "tying knot (not on a tie)", "using remote controller (not gaming)", "water skiing", "yoga",
]  # fmt: skip
names = st.text(max_size=25) | st.lists(
    st.sampled_from(["making", "a", "the", "cake", "Playing", "harp", "of", "(soccer)", "2x", "tai-chi", "é", "ride"]),
    min_size=1, max_size=6,
).map(" ".join)  # fmt: skip


def test_the_eight_tags_of_ig65m_a1():
    assert set(hashtags("burning candle")) == {
        "burncandle", "candlesburning", "candleburning", "burncandles", "burningcandle", "burningcandles",
        "candlesburn", "candleburn",
    }  # fmt: skip


def test_the_tags_of_ig65m_3_1():
    assert {"catchingafish", "catchfish", "fishcatching"} <= set(hashtags("catching a fish"))
    assert "beekeep" in hashtags("beekeeping")


def test_a_compound_is_reordered_as_two_words_are():
    """OmniSource Sec. 3.3, footnote 4: "beekeeping" can be transformed to "beekeep" and "keeping bee"."""
    tags = hashtags("beekeeping")
    assert tags[0] == "beekeeping"
    assert {"beekeep", "keepingbee", "keepbee", "keepingbees"} <= set(tags)
    assert set(tags) == set(hashtags("bee keeping")), "the same tags as of the two words"
    assert hashtags("skateboarding") == ["skateboarding", "skateboard"], "a verb of the dictionary is one word"


def test_verbs_and_nouns_give_all_pairs_in_canonical_form():
    assert product_names(["burning", "catch", "burn"], ["candle", "candles", "Fish"]) == [
        "burn candle", "burn fish", "catch candle", "catch fish"
    ]  # fmt: skip
    assert set(hashtags("burn candle")) == set(hashtags("burning candle")), "the eight tags of IG-65M A.1"


def test_smaller_sets_of_labels_are_part_of_larger_ones():
    names = [f"class {i}" for i in range(359)]
    sets = [nested_subset(names, count, 0) for count in (20, 45, 90, 180, 359)]
    assert [len(chosen) for chosen in sets] == [20, 45, 90, 180, 359]
    for smaller, larger in itertools.pairwise(sets):
        assert set(smaller) < set(larger)
        assert smaller == [name for name in names if name in set(smaller)], "in the order of the file"
    assert nested_subset(names[::-1], 20, 0) == sets[0][::-1], "whatever the order"
    assert nested_subset(names, 20, 1) != sets[0]


def test_a_stem_is_a_word():
    tags = {
        tag for name in ("burning candle", "making a cake", "baking cookies", "dying hair") for tag in hashtags(name)
    }
    assert not {"burncandl", "makcake", "bakcookies", "bakecooki", "dyhair"} & tags
    assert {"makecake", "bakecookie", "dyehair"} & tags >= {"makecake", "bakecookie"}
    for word in ("king", "string", "pudding", "ceiling", "offspring", "ing", "スing"):
        assert base_of_ing(word) is None, word


def test_a_verb_without_ing_gets_it():
    assert {"ridehorse", "ridinghorse", "horseriding"} <= set(hashtags("ride_horse"))
    assert hashtags("surf") == ["surf", "surfing"]
    assert "rockingclimbing" not in hashtags("rock climbing")  # it has its verb


def test_of_several_nouns_the_last_has_a_plural():
    tags = hashtags("making ice cream")
    assert "makingicecreams" in tags
    assert not [tag for tag in tags if "ices" in tag]


def test_brackets_are_only_in_the_name_s_own_tag():
    tags = hashtags("shooting goal (soccer)")
    assert tags[:2] == ["shootinggoalsoccer", "shootinggoal"]
    assert [tag for tag in tags if "soccer" in tag] == ["shootinggoalsoccer"]
    assert hashtags("(x)") == ["x"]


def test_links_and_articles_are_not_inflected():
    assert all("or" in tag for tag in hashtags("catching or throwing baseball"))
    assert not [tag for tag in hashtags("making a cake") if tag.endswith("a") or tag.startswith("a")]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("tai chi", ["taichi", "chitai"]),
        ("PlayingPiano", ["playingpiano"]),
        ("スキー", ["スキー"]),
        ("Équitation", ["équitation"]),
        ("हिन्दी नृत्य", ["हिन्दीनृत्य"]),
        ("100 m dash", ["100mdash"]),
        ("R¸", ["r"]),  # a mark without its letter
        ("!!", []),
    ],
)
def test_names_of_any_script_and_spelling(name, first):
    assert hashtags(name)[: len(first)] == first
    assert bool(hashtags(name)) == bool(first)


@given(names)
def test_tags_are_distinct_joined_folded_words_the_name_first_always_the_same(name):
    tags = hashtags(name)
    assert tags == hashtags(name)
    assert len(tags) == len(set(tags))
    for tag in tags:
        assert tag and words_of(tag) == [tag]
    assert tags[:1] == ([unicodedata.normalize("NFKC", "".join(words_of(name)))] if words_of(name) else [])


def test_no_kinetics_name_explodes():
    counts = {name: len(hashtags(name)) for name in KINETICS}
    assert max(counts.values()) <= 48, counts
    queries, _ = hashtag_queries(KINETICS, max_tags=4)
    assert len(queries) <= 4 * len(KINETICS)


@given(st.lists(names.map(lambda name: name.strip() or "x"), unique=True, max_size=5), st.none() | st.integers(1, 9))
def test_a_tag_belongs_to_one_class_at_most(classes, max_tags):
    queries, _ = hashtag_queries(classes, max_tags=max_tags)
    assert len({query.text for query in queries}) == len(queries)
    for name in classes:
        own = [query.text for query in queries if query.class_name == name]
        assert len(own) <= (max_tags or len(own))
        assert [tag for tag in hashtags(name) if tag in own] == own


def test_a_shared_tag_is_nobody_s_unless_it_is_a_name():
    queries, num_shared = hashtag_queries(["playing harp", "harp playing"])
    owners = {query.text: query.class_name for query in queries}
    assert owners["harpplaying"] == "harp playing"
    assert owners["playingharp"] == "playing harp"
    assert "playharp" not in owners
    assert num_shared == 6


@given(st.dates(date(2000, 1, 1), date(2030, 1, 1)), st.integers(1, 900), st.integers(1, 400))
def test_windows_tile_the_days_without_gap_or_overlap(first, num_days, days):
    end = first + timedelta(days=num_days)
    windows = date_windows(first, end, days)
    assert [day for since, before in windows for day in range(since.toordinal(), before.toordinal())] == list(
        range(first.toordinal(), end.toordinal())
    )
    assert all((before - since).days == days for since, before in windows[:-1])


def test_engines_are_asked_for_the_name_itself_once_a_window():
    days = [(date(2020, 1, 1), date(2020, 2, 1)), (date(2020, 2, 1), date(2020, 3, 1))]
    assert [query.text for query in search_queries(["Horse_Race", "tai chi"])] == ["Horse Race", "tai chi"]
    asked = list(search_queries(["tai chi"], days))
    assert [(query.text, query.since, query.before) for query in asked] == [("tai chi", *window) for window in days]


@given(names)
def test_a_bare_name_has_no_double_spaces_and_is_bare_already(name):
    assert bare_name(bare_name(name)) == bare_name(name)
    assert "  " not in bare_name(name)
