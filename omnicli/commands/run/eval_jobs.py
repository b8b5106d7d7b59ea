"""``eval -o DIR/``: the records of each input file are scored as jobs, then all their scores are evaluated.

The lines of the outputs in the order of the inputs, and the summary on stdout, are what a test of all inputs writes.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from omnicli.commands.options.eval import StoredScoreOptions
from omnicli.commands.options.streams import StreamOptions
from omnicli.commands.run.eval_output import EvalOutput, result_line
from omnicli.commands.run.jobs import find_jobs_of, options_of_folder
from omnicli.commands.run.one_output import StageSpec
from omnicli.console import Console
from omnicli.errors import InputError, UsageError

if TYPE_CHECKING:
    from omnicli.data.trained_on import TrainedOn
    from omnicli.inference.view_names import SeenViews
    from omnicli.models.factory import ModelSpec
    from omnicli.models.loading import LoadedModel
    from omnicli.stages.eval.fusion import ScoreSet
    from omnicli.streams.record import OnDrop, Record
    from omnicli.streams.stage_run import Stage
    from omnicli.streams.write.output_folder import Job

VIEW = "view: "  # begins the counters of records by what the model was shown
TRAINED_ON = "eval: trained on"


@dataclass(kw_only=True)
class EvalJobs:
    """A test in jobs.

    Attributes:
        checkpoint: of the model, for messages.
        load: the scoring function, its model, and what knows the views; called in each process.
        options: that change what is written.
        streams: with ``-o DIR/`` and ``--shards``.
        stored: ``--baseline``, for the summary.
        allow_overlap: records that the model was trained on are counted; else they fail the file.
        published: lines about the views that a model was published with.
        lines: for people, about the model.
        facts: about the model, for the shards and the summary.
    """

    checkpoint: str
    load: "Callable[[], tuple[Any, LoadedModel, SeenViews]]"
    options: Mapping[str, Any]
    streams: StreamOptions
    stored: StoredScoreOptions
    allow_overlap: bool
    published: "Callable[[ModelSpec], list[str]]"
    lines: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    _seen: "SeenViews | None" = None
    _trained_on: "TrainedOn | None" = None

    def spec(self) -> StageSpec:
        """The test as the runner sees it. Raises UsageError: no ``--shards``."""
        if self.streams.shards_dir is None:
            raise UsageError("-o DIR/ computes the accuracy over all files from their scores: give --shards DIR")
        return StageSpec(
            name="eval", make=self._make, options=self.options, shard_kind="scores", shard_keeps_paths=True,
            observe=self._observe, closing=self._closing, facts=self.facts, conclude=self._conclude,
        )  # fmt: skip

    def _make(self) -> "Stage":
        from omnicli.data.trained_on import TrainedOn
        from omnicli.stages.eval.fusion import CLASS_NAMES, SCORE_FUNCTION
        from omnicli.stages.eval.stage import predict
        from omnicli.stages.eval.tested_records import refuse_trained

        score, model, self._seen = self.load()
        self._trained_on = TrainedOn.from_meta(model.meta) if self.allow_overlap else None
        self.lines.extend(self.published(model.spec))
        function = "sigmoid" if model.spec.multi_label else "softmax"
        self.facts.update({CLASS_NAMES: list(model.classes), SCORE_FUNCTION: function})

        def stage(records: "Iterator[Record]", on_drop: "OnDrop") -> "Iterator[Record]":
            if not self.allow_overlap:
                records = refuse_trained(records, model.meta, model=model.name, root=self.streams.root)
            return predict(records, score=score, classes=model.classes, on_drop=on_drop)

        return stage

    def _observe(self, record: "Record", counters: Counter[str]) -> None:
        from omnicli.data.overlap import Identity

        assert self._seen is not None
        counters[VIEW + self._seen.of(record)] += 1
        if self._trained_on and self._trained_on.why_known(record, Identity(self.streams.root)):
            counters[TRAINED_ON] += 1

    def _closing(self, counters: Mapping[str, int]) -> list[str]:
        num_known = counters.get(TRAINED_ON, 0)
        known = f"{self.checkpoint} was trained on {num_known:,} records; the accuracy on them is not a test"
        return [*self.lines, *([f"{known} (--allow-overlap)"] if num_known else [])]

    def _conclude(self, console: Console) -> Mapping[str, Any]:
        """Evaluate the scores of all input files, unless some are missing, and write the summary to stdout."""
        from omnicli.streams.write.markers import is_done, read_counts

        jobs = find_jobs_of(replace(self.streams, part=None))
        wanted = options_of_folder(self.spec(), self.streams)
        num_left = sum(not is_done(job, wanted) for job in jobs)
        if num_left:
            console.say(
                f"{num_left:,} of {len(jobs):,} files are not done; the run that finishes them says the accuracy"
            )
            return {}
        counts = sum(map(read_counts, jobs), Counter[str]())
        view = " and ".join(name.removeprefix(VIEW) for name in counts if name.startswith(VIEW))
        with contextlib.ExitStack() as stack:
            result = self._evaluate(_scores_of(jobs, str(self.streams.shards_dir)), view, stack)
            output = EvalOutput(None, stack)
            output.write(result)
            output.close()
        console.say(result_line(result, self.stored.baseline))
        return {"result": result}

    def _evaluate(self, scores: "ScoreSet", view: str, stack: contextlib.ExitStack) -> dict[str, Any]:
        from omnicli.stages.eval.fusion import common_classes, fuse_scores, read_score_records
        from omnicli.stages.eval.stage import predict, sum_up

        classes = common_classes([scores], None)
        baseline = self.stored.load_baseline(classes, tested=self.checkpoint, stack=stack)
        records = predict(
            read_score_records(scores), score=partial(fuse_scores, sets=[scores], ratio=[1.0]), classes=classes,
            on_drop=lambda record, reason: None,
        )  # fmt: skip
        for made in sum_up(records, classes=classes, baseline=baseline, view=view):
            result = made
        return dict(result)


def _scores_of(jobs: "list[Job]", name: str) -> "ScoreSet":
    """The scores of all jobs, in their order. Raises InputError: there are none, or an ID occurs twice."""
    from omnicli.stages.eval.fusion import open_score_shards
    from omnicli.streams.shards.ownership import find_shards

    shards = [str(path) for job in jobs if job.shards for path in find_shards(job.shards, job.shard_prefix)]
    if not shards:
        raise InputError("no readable record: eval needs labelled media")
    return open_score_shards(name, tuple(shards))
