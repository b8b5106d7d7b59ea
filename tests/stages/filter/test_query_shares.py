"""Estimated shares against crawls whose true shares are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.stages.filter.query_shares import DEFAULT_SHARE, MIN_SIGNAL, Scored, query_shares, share_that_fits, signal

NUM_CLASSES = 6


def crawl(fits, accuracy, *, num=300, noise_only=(), is_image=True, seed=0):
    """Results of one query per class; ``fits`` of them show it, and the teacher recognises ``accuracy`` of these."""
    rng = np.random.default_rng(seed)
    asked = np.repeat(np.arange(NUM_CLASSES), num)
    shown = np.where(rng.random(len(asked)) < fits, asked, -1)
    shown[np.isin(asked, noise_only)] = -1
    scores = rng.dirichlet(np.ones(NUM_CLASSES), len(asked))
    for row in np.flatnonzero((shown >= 0) & (rng.random(len(asked)) < accuracy)):
        best = scores[row].argmax()
        scores[row, [best, shown[row]]] = scores[row, [shown[row], best]]
    best = np.argsort(-scores, axis=1)[:, :5]
    return Scored(
        best=best, scores=np.take_along_axis(scores, best, axis=1), asked=asked, groups=asked,
        is_image=np.full(len(asked), is_image), num_classes=NUM_CLASSES,
    )  # fmt: skip


def recognised(accuracy):
    """P(best class = class shown) in ``crawl``: by chance, too, where the teacher does not recognise it."""
    return accuracy + (1 - accuracy) / NUM_CLASSES


@given(st.floats(0, 1), st.floats(0.5, 1), st.integers(0, 5))
def test_the_estimate_is_near_the_true_share(fits, accuracy, seed):
    scored = crawl(fits, accuracy, num=600, seed=seed)
    found = share_that_fits(scored.best[:, 0], scored.asked, recognised(accuracy), NUM_CLASSES)
    assert found == pytest.approx(fits, abs=0.12)


def test_a_teacher_that_recognises_less_keeps_more_than_seems_to_fit():
    shares = {m: query_shares(crawl(0.3, m), recognised(m))[True] for m in (1.0, 0.5)}
    assert shares[1.0].kept == pytest.approx(shares[1.0].fits)
    assert shares[0.5].kept == pytest.approx(shares[0.5].fits * (2 - recognised(0.5)))
    assert shares[0.5].fits == pytest.approx(0.3, abs=0.08)


def test_a_clean_crawl_is_kept_whole_and_a_query_of_noise_is_not():
    assert query_shares(crawl(0.95, 0.6), recognised(0.6))[True].by_group.tolist() == [1.0] * NUM_CLASSES
    shares = query_shares(crawl(0.5, 0.8, noise_only=(2,)), recognised(0.8))[True]
    assert shares.by_group[2] < 0.4 * shares.kept
    assert shares.by_group[2] >= MIN_SIGNAL * shares.kept
    assert (np.delete(shares.by_group, 2) == shares.kept).all()


def test_without_an_accuracy_one_share_of_each_query_is_kept():
    shares = query_shares(crawl(0.9, 0.9), None)[True]
    assert shares.fits is None
    assert shares.by_group.tolist() == [DEFAULT_SHARE] * NUM_CLASSES


def test_images_and_videos_are_estimated_apart_and_few_of_a_kind_with_all():
    images, videos = crawl(0.2, 0.9), crawl(0.8, 0.9, is_image=False)
    for num_videos, like in ((len(videos.asked), 0.8), (12, 0.2)):
        rows = np.linspace(0, len(videos.asked) - 1, num_videos).astype(int)
        both = Scored(
            **{
                name: np.concatenate([getattr(images, name), getattr(videos.select(rows), name)])
                for name in ("best", "scores", "asked", "groups", "is_image")
            },
            num_classes=NUM_CLASSES,
        )
        shares = query_shares(both, recognised(0.9))
        assert shares[True].fits == pytest.approx(0.2, abs=0.06)
        assert shares[False].fits == pytest.approx(like, abs=0.06)


def test_one_query_alone_is_compared_with_chance():
    scored = crawl(0.6, 0.9)
    alone = scored.select(scored.asked == 3)
    found = share_that_fits(alone.best[:, 0], alone.asked, recognised(0.9), NUM_CLASSES)
    assert found == pytest.approx(0.6, abs=0.1)
    assert signal(alone)[3] == 1.0


def test_the_signal_is_the_rank_sum_test_of_a_query_against_misfits_of_others():
    scored = crawl(0.3, 0.8, num=30, seed=3)
    z = signal(scored)
    for label in range(NUM_CLASSES):
        is_own, is_misfit = scored.asked == label, scored.best[:, 0] != scored.asked
        own, other = scored.scores_of(label)[is_own], scored.scores_of(label)[~is_own & is_misfit]
        wins = (own[:, None] > other).sum() + 0.5 * (own[:, None] == other).sum()  # Mann-Whitney U
        n, m = len(own), len(other)
        assert z[label] == pytest.approx((wins - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))
