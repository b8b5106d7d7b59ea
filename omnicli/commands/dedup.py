"""Reject web images and videos that copy a target record, so that no validation data is trained on.

    omni dedup --target k400_val.jsonl --rejects copies.jsonl web.jsonl > fair.jsonl

    omni report fair.jsonl --rejects copies.jsonl -o copies.html

    omni features --shards target_feats/ k400/ > target.jsonl
    omni dedup --target target_feats/ --score-only web.jsonl -o scored.jsonl
    omni dedup --threshold 0.8 scored.jsonl > fair.jsonl

    omni dedup --method census --target k400_val/ web_videos/ > fair.jsonl

Each frame is represented by a whitened feature of an ImageNet ResNet-50 (OmniSource Sec. 3.3). A record is rejected if
the similarity of its most similar pair of frames reaches the threshold: the mean similarity between five crops of the
same target frame. Rejects carry `match`: id and path of the target, both times in seconds, the cosine. In OmniSource
fewer than one in ten was a real copy, so both frames are compared again by local features: `match.verified` is true for
copies, and `omni report` shows those first. What only looks alike is rejected too.

Without --fps, videos of the web are read at 1 frame per second, and those of a small target at 8, 4 or 2: the most at
which the whole target has at most 16,384 frames.

--method census compares videos with videos (IG-65M A.2) by 64-bit signatures of 16 frames per second, without a model.
A video is rejected if at least one second of it occurs in a target video. Images pass unchanged.

Memory: 530 bytes per target frame at 256 dimensions (1.3 GB for 240,000 videos of 10 s; twice that without native
bfloat16), 1 GB while whitening is fitted, and 0.3 GB for blocks, whatever the length of the web stream. TMPDIR: 1 KB
per target frame, and temporarily 2 bytes per feature (4 KB per frame). --within needs as much for each kept web frame.
--method census: 10 bytes per target frame.
"""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from omnicli.commands.options.compute import ComputeOptions, DedupPrecision, Seed
from omnicli.commands.options.dedup import DedupOptions, Fps
from omnicli.commands.options.groups import Adapt, takes_groups
from omnicli.commands.options.logging import LoggingOptions
from omnicli.commands.options.model import BackboneOptions
from omnicli.commands.options.streams import AsMedia, ShardsDir, StreamOptions
from omnicli.commands.options.verdicts import VerdictFiles, load_verdicts, with_verdicts
from omnicli.commands.run.dedup_methods import census_spec, features_spec
from omnicli.commands.run.one_output import StageSpec
from omnicli.commands.run.runner import run_stage
from omnicli.streams.stage_run import Stage

if TYPE_CHECKING:
    from omnicli.streams.verdicts import Verdicts


@takes_groups
def command(
    context: typer.Context,
    options: DedupOptions,
    streams: Annotated[StreamOptions, Adapt(shards_dir=ShardsDir)],
    backbone: Annotated[BackboneOptions, Adapt(fps=Fps)],
    compute: Annotated[ComputeOptions, Adapt(precision=DedupPrecision)],
    logging: LoggingOptions,
    as_media: AsMedia = False,
    seed: Seed = 0,
    verdict_files: VerdictFiles = None,
) -> None:
    backbone.check()
    options.check(context, streams.inputs or [])
    verdicts = load_verdicts(verdict_files, "duplicate", streams, score_only=options.score_only)
    if options.method == "census":
        spec = census_spec(options, streams.root, compute.workers, verdicts)
    elif options.target:
        spec = features_spec(options, streams, backbone, compute, as_media=as_media, seed=seed,
                             verdicts=verdicts)  # fmt: skip
    else:
        spec = StageSpec(name="dedup", make=partial(_decide_again, options, verdicts),
                         options={"threshold": options.threshold})  # fmt: skip
    run_stage(with_verdicts(spec, verdicts, verdict_files, streams), streams, logging)


def _decide_again(options: DedupOptions, verdicts: "Verdicts") -> "Stage":
    from omnicli.stages.dedup.stage import decide_again

    threshold = options.threshold or 0.0
    return lambda records, on_drop: decide_again(records, threshold=threshold, verdicts=verdicts, on_drop=on_drop)
