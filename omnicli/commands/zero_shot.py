"""Turn class names into a teacher, without labelled clips.

    omni zero-shot classes.txt --clip ViT-B-16-SigLIP2:webli -o siglip.pth

    omni zero-shot classes.txt --clip models/ViT-B-16-SigLIP2/ --synonyms synonyms.tsv -o siglip.pth
    omni filter --teacher siglip.pth --label-by query --threshold 0.01 web.jsonl > kept.jsonl

FILE has one class name per line. An image-text model of open_clip (CLIP, SigLIP, SigLIP 2, DFN, MobileCLIP) embeds each
name in several sentences; the checkpoint holds its image tower, the embeddings as classifier, and its preprocessing. It
is a teacher like any other, alone or one of several, an --init of omni teacher-train, and a --checkpoint of omni
features and omni dedup. Models with a sigmoid loss (SigLIP) score each class by itself: no class may fit an image.

--clip names a model and the tag of its weights as open_clip does, hf-hub:OWNER/NAME, a folder with
open_clip_config.json, or MODEL:FILE. Nothing in these files can run. The licence of the weights, if a model card names
it, is stored and printed. Needs pip install 'omnicli[clip]'.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from omnicli import __version__
from omnicli.commands.options.groups import INPUT_OUTPUT, MODEL, takes_groups
from omnicli.commands.options.logging import LoggingOptions
from omnicli.commands.options.streams import check_one_file
from omnicli.commands.run.summary import print_options
from omnicli.extras import need
from omnicli.process import stopping_stage
from omnicli.streams.class_names import read_classes


@takes_groups
def command(
    logging: LoggingOptions,
    classes: Annotated[
        Path, typer.Argument(metavar="FILE", help="Class names, one per line, in the order of the labels.",
                             show_default=False)
    ],
    clip: Annotated[
        str, typer.Option("--clip", metavar="MODEL:TAG", help="Image-text model: open_clip's name and tag, MODEL:FILE, "
                          "hf-hub:OWNER/NAME, or a folder.", show_default=False, rich_help_panel=MODEL),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="Checkpoint to write, atomically.",
                           show_default=False, rich_help_panel=INPUT_OUTPUT),
    ],
    prompts: Annotated[
        Path | None, typer.Option("--prompts", metavar="FILE", help="Sentences with {} for the class name, one per "
                                  "line.", show_default="8 about actions; -n prints them", rich_help_panel=MODEL),
    ] = None,
    synonyms: Annotated[
        Path | None, typer.Option("--synonyms", metavar="FILE", help="Other names of classes, lines class<TAB>synonym; "
                                  "a class is the mean of its names.", rich_help_panel=MODEL),
    ] = None,
    scores: Annotated[
        Literal["sigmoid", "softmax"] | None,
        typer.Option("--scores", help="sigmoid scores each class by itself; softmax makes the scores of all classes "
                     "sum to 1, for ensembles with trained teachers.", show_default="as the model was trained",
                     rich_help_panel=MODEL),
    ] = None,
    num_segments: Annotated[
        int, typer.Option("--num-segments", min=1, metavar="N", help="Frames per video.", rich_help_panel=MODEL),
    ] = 3,
) -> None:  # fmt: skip
    check_one_file(output, command="zero-shot", what="a checkpoint")
    need("clip", "zero-shot")
    names = read_classes(classes)
    console = logging.console("zero-shot")
    with stopping_stage(resumable=False) as stop:
        from omnicli.models.checkpoint import check_writable
        from omnicli.models.clip.published import open_published
        from omnicli.stages.zero_shot import PROMPTS, read_prompts, read_synonyms, zero_shot

        stop.check()  # an import may have swallowed the exception of a signal
        check_writable(output)
        sentences = read_prompts(prompts) if prompts else list(PROMPTS)
        others = read_synonyms(synonyms, names) if synonyms else {}
        if logging.dry_run:
            print_options({
                "omni": __version__, "command": "zero-shot", "clip": clip, "classes": names, "prompts": sentences,
                "synonyms": {names[label]: found for label, found in others.items()}, "scores": scores,
                "num_segments": num_segments, "output": str(output),
            })  # fmt: skip
            return
        model = open_published(clip)
        if model.licence:
            console.say(f"licence of {model.source}: {model.licence}")
        sha256, spec = zero_shot(
            names, model=model, prompts=sentences, synonyms=others, scores=scores, num_segments=num_segments, out=output
        )
        console.detail(f"sha256 {sha256}")
        kind = "sigmoid" if spec.multi_label else "softmax"
        console.say(f"{len(names):,} classes x {len(sentences)} prompts, {kind} scores: {spec.name} → {output}")
