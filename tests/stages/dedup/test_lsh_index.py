"""Runs are those that comparing every frame with every frame finds, whatever the order, the blocks and the tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.stages.dedup.lsh_index import GrowingIndex, OverlapIndex, Run, RunRule, _flips, _ranges

MIN_RUN = 4
REACH = 3


def index_of(tracks, *, radius=5, max_gap=2, block=1 << 20):
    bits = np.concatenate([bits for bits, _ in tracks])
    votes = np.concatenate([votes for _, votes in tracks])
    lengths = [len(bits) for bits, _ in tracks]
    return OverlapIndex(bits, votes, lengths, RunRule(radius, radius + REACH, MIN_RUN, max_gap, block))


def runs_by_hand(source, tracks, *, radius=5, max_gap=2):
    """Frame against frame, diagonal after diagonal."""
    found = []
    for number, (target, target_votes) in enumerate(tracks):
        for shift in range(-len(source[0]), len(target) + 1):
            apart = {}  # frame of the target → bits that it, or one beside, differs in; and it alone
            for at in range(max(shift, 0), min(len(target), len(source[0]) + shift)):
                differing = [99, 99, 99]
                for step in (-1, 0, 1):
                    frame = at - shift + step
                    if 0 <= frame < len(source[0]) and source[1][frame] and target_votes[at]:
                        differing[step] = (int(source[0][frame]) ^ int(target[at])).bit_count()
                apart[at] = min(differing[0], differing[1] + 1, differing[-1] + 1), differing[0]
            within = [at for at, (nearest, _) in apart.items() if nearest <= radius + REACH]
            for group in grouped(within, max_gap):
                sure = {at for at in group if apart[at][0] <= radius}
                own = [at for at in range(group[0], group[-1] + 1) if apart[at][1] <= radius + REACH]
                if own and any(all(at + step in sure for step in range(MIN_RUN)) for at in sure):
                    matched = sum(own[0] <= at <= own[-1] for at in group)
                    score = sum(radius + REACH + 1 - apart[at][1] for at in own)
                    found.append(Run(number, own[0] - shift, own[0], own[-1] - own[0] + 1, matched, score))
    return found


def grouped(places, max_gap):
    groups = []
    for place in places:
        if groups and place - groups[-1][-1] - 1 <= max_gap:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def world(seed, *, num_tracks=4, noise_bits=3):
    """Tracks of repeating scenes, a source pasted together of their stretches with a few bits changed."""
    rng = np.random.default_rng(seed)
    scenes = rng.integers(0, 1 << 64, 6, dtype=np.uint64)

    def noisy(bits):
        for _ in range(noise_bits):
            bits = bits ^ (np.uint64(1) << rng.integers(0, 64, len(bits), dtype=np.uint64))
        return bits

    def track():
        count = rng.integers(1, 7)
        return noisy(np.concatenate([scenes[rng.integers(6)].repeat(rng.integers(1, 6)) for _ in range(count)]))

    tracks = [(bits := track(), rng.random(len(bits)) < 0.9) for _ in range(num_tracks)]
    return (source := track(), rng.random(len(source)) < 0.9), tracks


@pytest.mark.parametrize("radius", [0, 3, 5, 9, 11])
@given(seed=st.integers(0, 1 << 32), max_gap=st.integers(0, 3))
def test_hashing_misses_no_run_and_invents_none(radius, seed, max_gap):
    source, tracks = world(seed)
    index = index_of(tracks, radius=radius, max_gap=max_gap)
    assert sorted(index.runs(*source)) == sorted(runs_by_hand(source, tracks, radius=radius, max_gap=max_gap))


@given(seed=st.integers(0, 1 << 32), block=st.integers(1, 50))
def test_block_size_changes_nothing(seed, block):
    source, tracks = world(seed)
    assert index_of(tracks, block=block).runs(*source) == index_of(tracks).runs(*source)


@given(seed=st.integers(0, 1 << 32), order=st.permutations(range(4)))
def test_order_of_targets_changes_only_their_numbers(seed, order):
    source, tracks = world(seed)
    shuffled = index_of([tracks[number] for number in order]).runs(*source)
    assert sorted(run._replace(track=order[run.track]) for run in shuffled) == sorted(index_of(tracks).runs(*source))


@given(seed=st.integers(0, 1 << 32), cut=st.integers(1, 3))
def test_indexes_joined_are_one_index(seed, cut):
    source, tracks = world(seed)
    assert index_of(tracks[:cut]).joined(index_of(tracks[cut:])).runs(*source) == index_of(tracks).runs(*source)


@given(seed=st.integers(0, 1 << 32), lookups=st.sets(st.integers(0, 8)))
def test_an_index_that_grows_is_one_index(seed, lookups):
    source, tracks = world(seed, num_tracks=9)
    growing = GrowingIndex(RunRule(5, 5 + REACH, MIN_RUN, 2))
    for number, track in enumerate(tracks):
        growing.add(*track)
        if number in lookups:
            assert growing.runs(*source) == index_of(tracks[: number + 1]).runs(*source)
    assert growing.runs(*source) == index_of(tracks).runs(*source)


def test_tracks_of_every_part_keep_their_numbers():
    growing = GrowingIndex(RunRule(5, 5 + REACH, MIN_RUN, 2))
    tracks = np.random.default_rng(0).integers(0, 1 << 64, (4, 50), dtype=np.uint64)
    votes = np.ones(50, bool)
    for track in tracks[:3]:
        growing.add(track, votes)
    assert growing.runs(tracks[3], votes) == []  # makes a part of the first three
    growing.add(tracks[3][:10], votes[:10])
    for number, track in enumerate(tracks):
        assert {run.track for run in growing.runs(track, votes)} == {number}


def test_a_video_that_does_not_vote_matches_not_even_itself():
    bits = np.zeros(20, np.uint64)
    blank = (bits, np.zeros(20, bool))
    assert index_of([blank]).runs(*blank) == []
    assert index_of([(bits, np.ones(20, bool))]).runs(bits, np.ones(20, bool)) != []


def test_the_best_run_of_a_copy_has_its_times_on_both_sides():
    rng = np.random.default_rng(0)
    target, other = rng.integers(0, 1 << 64, (2, 40), dtype=np.uint64)
    source = np.concatenate([other[:15], target[10:30], other[20:]])
    source[20] = ~source[20]  # one spoiled frame breaks no run
    votes = np.ones(len(source), bool)
    runs = index_of([(target, np.ones(40, bool))]).runs(source, votes)
    assert max(runs, key=lambda run: run.score) == Run(0, 15, 10, 20, 19, 19 * (5 + REACH + 1))


def test_an_index_of_nothing_finds_nothing():
    empty = (np.zeros(0, np.uint64), np.zeros(0, bool))
    source = (np.zeros(20, np.uint64), np.ones(20, bool))
    assert index_of([empty]).runs(*source) == []
    assert index_of([source]).runs(*empty) == []


def test_flips_are_all_patterns_of_few_bits():
    patterns = _flips(2).tolist()
    assert len(set(patterns)) == len(patterns) == 1 + 16 + 120
    assert all(0 <= pattern < 1 << 16 and pattern.bit_count() <= 2 for pattern in patterns)


def test_ranges_are_laid_end_to_end():
    assert _ranges(np.array([5, 9, 0], np.uint32), np.array([2, 0, 3], np.uint32)).tolist() == [5, 6, 0, 1, 2]
