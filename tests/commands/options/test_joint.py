"""Options of joint training: what they are read as, and which have no effect together."""

import pytest

from omnicli.commands.options.joint import JointOptions, name_sources, parse_ratio
from omnicli.commands.options.training import Recipe, TrainingOptions
from omnicli.errors import UsageError
from omnicli.training.recipes import TEACHER_RECIPES

TWO = {"auxiliary": ["gg.jsonl", "ig.jsonl"]}


@pytest.mark.parametrize("given", [{"joint": "alternate"}, {"soft_labels": True}, {"snippets": "1:2"}])
def test_options_for_auxiliary_sources_need_one(given):
    with pytest.raises(UsageError, match="give --auxiliary"):
        JointOptions(**given).resolve(TrainingOptions(model="tsn-resnet50"))


@pytest.mark.parametrize(
    ("given", "training", "says"),
    [
        ({"ratio": "2:0:1"}, {}, "above 0 such as 2:1:1"),
        ({}, {"mixup_alpha": 0.2}, "--mixup-alpha needs --mixup intra or --mixup cross"),
        ({"mixup": "intra"}, {"mixup_alpha": 0}, "--mixup-alpha 0 mixes nothing"),
        ({"auxiliary_batch_size": [5]}, {}, "--auxiliary-batch-size needs --joint alternate"),
        ({"joint": "alternate", "auxiliary_batch_size": [5]}, {}, "given 1 times for 2 sources"),
        ({"joint": "alternate", "mixup": "cross"}, {}, "it needs --auxiliary and --joint together"),
        ({"mixup": "cross"}, {"cutmix_alpha": 1.0}, "--cutmix-alpha pastes within a source"),
        ({"ema": 1.0}, {}, "--ema 1 would keep the weights of the first step"),
        ({"soft_labels": True, "auxiliary_label": "query"}, {}, "--soft-labels needs --auxiliary-label pseudo_label"),
        ({"soft_labels": True, "multi_label": True}, {}, "excludes --multi-label"),
        ({"auxiliary_label": "label"}, {"query_map": "map.tsv"}, "--query-map needs --auxiliary-label query"),
    ],
)
def test_options_without_effect_are_refused(given, training, says):
    with pytest.raises(UsageError, match=says):
        JointOptions(**TWO, **given).resolve(TrainingOptions(model="tsn-resnet50", **training))


def test_what_is_given_wins_over_the_recipe_and_the_rest_is_its():
    training = TrainingOptions(recipe=Recipe("tsn-r50-3seg"), dropout=0.1)
    name, row = JointOptions(auxiliary=["gg.jsonl"], ema=0.5).resolve(training)
    expected = TEACHER_RECIPES["tsn-r50-3seg"]
    assert name == "tsn-r50-3seg"
    assert (row.dropout, row.ema, row.lr, row.batch_size) == (0.1, 0.5, expected.lr, expected.batch_size)
    assert (row.mixup_alpha, row.reference_batch_size) == (0.0, expected.reference_batch_size)


def test_a_learning_rate_that_is_given_is_that_of_the_step_at_hand():
    training = TrainingOptions(recipe=Recipe("tsn-r50-3seg"), lr=0.5)
    _, row = JointOptions(auxiliary=["gg.jsonl"]).resolve(training)
    assert (row.lr, row.reference_batch_size) == (0.5, 0)


def test_a_ratio_is_whole_numbers_above_0():
    assert parse_ratio("2:1:1") == (2, 1, 1)
    for text in ("2:", "", "1:-1", "1.5:1", "2,1"):
        with pytest.raises(UsageError, match="2:1:1"):
            parse_ratio(text)


def test_no_two_sources_share_a_name_nor_is_one_called_target():
    assert name_sources(["x/target.jsonl", "gg.jsonl.zst", "gg.h5", "web/", "ig/00000.h5", "00000.h5"]) == {
        "target-2": "x/target.jsonl", "gg": "gg.jsonl.zst", "gg-2": "gg.h5", "web": "web/", "ig": "ig/00000.h5",
        "00000": "00000.h5",
    }  # fmt: skip
