from omnicli.stages.report.curves import metric_charts, summary_of


def test_losses_and_accuracies_share_a_plot_and_others_that_change_stand_alone():
    metrics = [
        {
            "epoch": epoch,
            "lr": 0.1 / (1 + epoch),
            "num_clips": 48,
            "train_loss": 1 / (1 + epoch),
            "val_loss": 1.2,
            "val_top1_acc": epoch / 3,
            "val_top5_acc": 0.9,
        }
        for epoch in range(3)
    ]
    charts = {chart.title: chart.legend for chart in metric_charts(metrics)}
    assert charts == {"loss": ["train_loss", "val_loss"], "accuracy": ["val_top1_acc", "val_top5_acc"], "lr": []}
    assert list(charts) == ["loss", "accuracy", "lr"]


def test_each_source_has_its_own_curve():
    metrics = [{"epoch": 0, "source": source, "loss": 1.0} for source in ("target", "gg-k400")]
    (chart,) = metric_charts(metrics)
    assert chart.legend == ["target loss", "gg-k400 loss"]


def test_values_that_are_no_numbers_are_left_out():
    assert metric_charts([{"epoch": 0, "done": True, "note": "x", "nothing": None}]) == []


def test_a_summary_names_its_classes_from_itself_or_from_the_records():
    summary = {"top1_acc": 0.5, "confusion": [[1, 0], [1, 0]]}
    assert "rain" in summary_of(summary, {0: "rain", 1: "fan"})["confusion"]
    assert "snow" in summary_of({**summary, "classes": ["snow", "fan"]}, {})["confusion"]
    assert summary_of(summary, {})["numbers"] == {"top1_acc": 0.5}


def test_what_is_no_square_of_counts_or_has_other_classes_stops_no_report():
    for confusion in ([1, 2], [[1, 2]], [[1], [2, 3]], [[1, None], [0, 2]], "none"):
        assert summary_of({"top1_acc": 0.5, "confusion": confusion}, {})["confusion"] is None
    plot = summary_of({"confusion": [[1, 2], [3, 4]], "classes": ["a"]}, {1: "surfing"})["confusion"]
    assert "surfing" in plot


def test_a_confusion_of_very_many_classes_is_not_drawn():
    assert summary_of({"confusion": [[0] * 400] * 400}, {})["confusion"] is None


def test_pairs_of_classes_become_tables_and_changes_numbers():
    pair = {"classes": ["rain", "fan"], "score": 0.25, "confused": [1, 0], "right": [2, 1]}
    moved = {"classes": ["rain", "fan"], "before": 0.5, "after": 0.25}
    baseline = {"top1_acc": 0.25, "change": {"top1_acc": 0.5}, "became_right": 2, "became_wrong": 0, "p_value": 0.5}
    summary = {"top1_acc": 0.75, "confused": [pair], "baseline": {**baseline, "improved": [moved], "worsened": []}}
    made = summary_of(summary, {})
    assert made["tables"] == [
        ("Most often confused", [("rain – fan", "0.250")]),
        ("Confused less than by the baseline", [("rain – fan", "0.500 → 0.250")]),
    ]
    assert made["numbers"] == {
        "top1_acc": 0.75, "top1_acc gained": 0.5, "became_right": 2, "became_wrong": 0, "p_value": 0.5
    }  # fmt: skip


def test_what_another_program_calls_so_is_left_out():
    strange = {"top1_acc": 0.5, "confused": ["x", {"classes": 3}], "baseline": 0.25}
    made = summary_of(strange, {})
    assert made["tables"] == [] and made["numbers"] == {"top1_acc": 0.5, "baseline": 0.25}
