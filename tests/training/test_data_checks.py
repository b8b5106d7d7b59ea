"""What is in two sets of a training, and what is hardly there."""

import pytest

from omnicli.data.dataloader import Example
from omnicli.data.trained_on import TrainedOn
from omnicli.errors import InputError
from omnicli.streams.record import Record
from omnicli.training.context import TrainingContext
from omnicli.training.data_checks import check_data, check_overlap, scarce_auxiliary


def examples(*names, label=0):
    return [Example(Record({"id": name, "path": name}), label) for name in names]


@pytest.mark.parametrize(
    ("val", "auxiliary", "says"),
    [
        (["v", "a"], [], "1 of 2 records of --val are in --target, too: a is a (same id); take them out"),
        (["v"], ["v", "w"], "1 of 1 records of --val are in --auxiliary web, too: v is v (same id)"),
        (["v"], ["b"], "1 of 2 records of --target are in --auxiliary web, too: b is b (same id)"),
    ],
)
def test_sets_that_share_records_stop_the_training_unless_that_is_wanted(val, auxiliary, says):
    said: list[str] = []
    sets = examples("a", "b"), examples(*val), {"web": examples(*auxiliary)}
    with pytest.raises(InputError) as stopped:
        check_overlap(*sets, TrainingContext(workers=1, say=said.append))
    assert says in str(stopped.value)
    assert "--allow-overlap" in str(stopped.value)
    memory = check_overlap(*sets, TrainingContext(workers=1, say=said.append, allow_overlap=True))
    assert TrainedOn.from_meta({"trained_on": memory}) is not None
    (line,) = said
    assert says.partition(";")[0] in line


def test_a_folder_of_clips_is_no_validation_data():
    folder = Record({"id": "v", "path": "v", "media": "clips", "positive_clips": [0]}, origin="val.jsonl", line=3)
    with pytest.raises(InputError, match=r"val\.jsonl:3: a folder of clips, .* omni index --each-clip"):
        check_data(examples("a"), [Example(folder, 0)], {}, ["x"], TrainingContext(workers=1))


def test_sets_of_their_own_are_remembered_in_silence():
    said: list[str] = []
    memory = check_overlap(
        examples("a"), examples("v"), {"web": examples("w")}, TrainingContext(workers=1, say=said.append)
    )
    assert said == []
    known = TrainedOn.from_meta({"trained_on": memory})
    assert known is not None
    assert len(known.names) == 2  # the validation set is not learnt from


def test_classes_with_hardly_any_auxiliary_record_are_named():
    web = {"gg": examples(*"abcde"), "ig": examples("f", label=2)}
    assert scarce_auxiliary(web, ["archery", "bowling", "surfing"]) == [
        "2 of 3 classes have fewer than 5 auxiliary records, 1 none: bowling 0, surfing 1; "
        "keep more of them in omni filter, or collect more"
    ]
    assert scarce_auxiliary({}, ["archery"]) == scarce_auxiliary(web, ["archery"]) == []
