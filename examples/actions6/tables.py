"""Tables of the studies in Markdown: one per question, no cell longer than 30 characters."""

from collections.abc import Iterable, Iterator

import numpy as np
from runs import Runs, can_be_beaten, interval, paired, verdict
from studies import ALSO, QUESTIONS, STUDIES

Found = dict[tuple[str, int, str], Runs]
ANSWERS = {"better": "yes", "worse": "no", "unresolved": "unresolved"}
OUT_OF_REACH = "unresolved¹"
FOOTNOTE = "¹ Even a student without errors would be unresolved: the errors fall into too few groups.\n"
MEASURES = ("log loss", "log loss at its temperature")


def markdown(heads: str, rows: Iterable[Iterable[object]]) -> str:
    """A table; ``heads`` are separated by ``|``."""
    names = heads.split("|")
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)]) + "\n"


def settings_of(study: str, found: Found) -> Iterator[tuple[int, str, Runs]]:
    """Clips per class, setting and runs of a study: known settings in their order, then others."""
    known = STUDIES[study][3]
    for clips in sorted({clips for name, clips, _ in found if name == study}):
        more = sorted(setting for name, number, setting in found if (name, number) == (study, clips))
        for setting in dict.fromkeys([*known, *more]):
            if (study, clips, setting) in found:
                yield clips, setting, found[study, clips, setting]


def comparisons(study: str, found: Found) -> Iterator[tuple[int, str, str, Runs, Runs]]:
    """Clips per class, setting, the setting that it is compared with, and the runs of both; draws in common."""
    reference = STUDIES[study][2]
    for clips, setting, runs in settings_of(study, found):
        for other in [reference, *(other for mine, other in ALSO.get(study, []) if mine == setting)]:
            against = found.get((study, clips, other))
            if other != setting and against and {*runs.seeds} & {*against.seeds}:
                yield clips, setting, other, runs, against


def study_tables(study: str, found: Found) -> str:
    """Top-1 accuracy of every setting of a study, then its differences."""
    title, source, _, _ = STUDIES[study]
    accuracies = []
    for clips, setting, runs in settings_of(study, found):
        low, high = interval(runs.right, runs.units)
        accuracies.append((clips, setting, len(runs.seeds), f"{runs.mean:.3f}", f"{low:.3f} to {high:.3f}"))
    parts = [f"## {title} (OmniSource {source})\n", markdown("clips|setting|draws|top-1|95 % interval", accuracies)]
    differences = [
        (clips, setting, other, *difference(runs, against, "top-1"))
        for clips, setting, other, runs, against in comparisons(study, found)
    ]
    if differences:
        parts.append(markdown("clips|setting|compared with|top-1|95 % interval|verdict", differences))
    views = dict.fromkeys(runs.view for _, _, runs in settings_of(study, found) if runs.view)
    parts += [f"Views of the test clips: {'; '.join(views)}.\n"] if views else []
    return "\n".join(parts)


def log_loss_tables(study: str, found: Found) -> str:
    """The log loss of every setting of a study, as it is and calibrated, then the differences of each."""
    title, source, _, _ = STUDIES[study]
    values = [
        (clips, setting, *(f"{runs.by(measure).mean():.3f}" for measure in MEASURES))
        for clips, setting, runs in settings_of(study, found)
    ]
    parts = [f"## {title} (OmniSource {source})\n", markdown("clips|setting|log loss|calibrated", values)]
    for measure, name in zip(MEASURES, ("log loss", "calibrated"), strict=True):
        differences = [
            (clips, setting, other, *difference(runs, against, measure))
            for clips, setting, other, runs, against in comparisons(study, found)
        ]
        if differences:
            parts.append(markdown(f"clips|setting|compared with|{name}|95 % interval|verdict", differences))
    return "\n".join(parts)


def difference(one: Runs, other: Runs, measure: str) -> tuple[str, str, str]:
    """Three cells: the paired difference, its 95 % interval and the verdict."""
    change, low, high = paired(one, other, measure=measure)
    return f"{change:+.3f}", f"{low:+.3f} to {high:+.3f}", verdict(low, high, measure)


def question_tables(found: Found, measure: str) -> str:
    """Each question of the paper: both settings and the paired difference at each number of clips."""
    parts = []
    for question in QUESTIONS:
        rows = []
        for better, other in question.pairs:
            for clips in sorted({clips for study, clips, _ in found if study == question.study}):
                one, against = (found.get((question.study, clips, name)) for name in (better, other))
                if one is None or against is None or not {*one.seeds} & {*against.seeds}:
                    continue
                change, span, said = difference(one, against, measure)
                answer = ANSWERS[said]
                if said == "unresolved" and measure == "top-1" and not can_be_beaten(one, against):
                    answer = OUT_OF_REACH
                values = (f"{name} {mean_of_shared(runs, one, against, measure):.3f}"
                          for name, runs in ((other, against), (better, one)))  # fmt: skip
                rows.append((clips, *values, change, span, answer))
        if rows:
            heads = "clips|from|to|difference|95 % interval|answer"
            parts.append(f"## {question.asks} ({question.source})\n\n{markdown(heads, rows)}")
    if any(OUT_OF_REACH in part for part in parts):
        parts.append(FOOTNOTE)
    return "\n".join(parts)


def mean_of_shared(runs: Runs, one: Runs, other: Runs, measure: str) -> float:
    """The mean of ``runs`` over the draws that the two have in common."""
    shared = [runs.seeds.index(seed) for seed in one.seeds if seed in other.seeds]
    return float(runs.by(measure)[shared].mean())


def choice_table(found: Found) -> str:
    """The runs by which the recipe was chosen: both held-out groups together."""
    keys = sorted({(clips, setting) for study, clips, setting in found if study.startswith("choose")})
    rows = []
    for clips, setting in keys:
        runs = [found[key] for key in found if key[0].startswith("choose") and key[1:] == (clips, setting)]
        accs = [acc for run in runs for acc in run.right.mean(axis=1)]
        loss = np.mean([run.log_loss.mean() for run in runs])
        rows.append((clips, setting, len(accs), f"{np.mean(accs):.3f}", f"{loss:.3f}"))
    lines = ["## Choice of the recipe", "",
             "On clips held out of `target/train`: one UCF group for training, the other for testing.", ""]  # fmt: skip
    return "\n".join([*lines, markdown("clips|setting|runs|top-1|log loss", rows)])
