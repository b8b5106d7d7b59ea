"""The settings of a training: those of a teacher, and those that a student has besides."""

from dataclasses import dataclass, replace
from typing import Literal, Self

from omnicli.training.transformer_recipe import TransformerRecipe

CropName = Literal["random-resized", "multi-scale", "random"]
MixupName = Literal["none", "intra", "cross"]
AuxiliaryLabel = Literal["pseudo_label", "query", "label"]
ScheduleName = Literal["step", "cosine", "cosine-after-warmup", "halving", "constant"]
TargetLabel = Literal["label", "query"]
FreezeName = Literal["nothing", "batch-norm", "partial-batch-norm", "encoder", "backbone"]
ModalityName = Literal["rgb", "flow"]


@dataclass(frozen=True, kw_only=True)
class TeacherRecipe(TransformerRecipe):
    """How a teacher is trained.

    Attributes:
        model: architecture; None in recipes for any architecture.
        modality: what the model takes, images or optical flow (``omni flow``); None is that of ``init``, else "rgb".
        init: ``scratch``, ``imagenet`` or a path of weights; "" in recipes that start from a file of the user.
        num_segments: snippets per clip of a 2D model; None is the architecture's default, 3 for TSN, 8 for TSM.
        num_frames: frames per clip (3D), pairs of flow that are stacked (2D); None is the architecture's default.
        frame_interval: source frames between them; None is the architecture's default.
        short_side: pixels; None is the backbone's default.
        crop_size: pixels; None is the backbone's default.
        crop: how the training crop is drawn.
        min_area: smallest share of the image in a random-resized crop.
        flip: mirror half of the clips; not where left and right make classes, such as "swiping left".
        epochs: passes over the target.
        batch_size: target clips per step.
        reference_batch_size: the batch size of ``lr``, which is scaled linearly to another (IG-65M A.4, mmaction2); 0
            disables scaling.
        lr: of the classifier.
        backbone_lr_scale: factor on ``lr`` for the backbone.
        schedule: of the learning rate.
        milestones: epochs, for ``step``.
        warmup_epochs: linear warm-up from a tenth of ``lr``.
        clip_norm: largest norm of the gradient.
        weight_decay: L2 on all weights.
        classifier_prior: additional weight decay of the classifier: this over the number of clips, at most 0.2. It is
            L2 logistic regression with C = 1 / classifier_prior.
        dropout: before the classifier; None is the architecture's default, 0.4 for TSN and 0.5 for others.
        label_smoothing: share of the label that is spread over all classes.
        mixup_alpha: of mixup (OmniSource Sec. 3.6); 0 disables it.
        temperature: hold clips out and fit a temperature on them.
        freeze: the backbone parameters that are not trained.
        probe_epochs: epochs that first train the classifier alone, on the frozen backbone (Ours).
        probe_lr: the learning rate of these epochs.
        train_clips: length of the training in target clips, instead of ``epochs``; milestones and warm-up keep their
            shares of it.
        target_label: the field with the label of a target record: None or ``label``, or ``query``, of whose classes one
            is drawn per visit (IG-65M Sec. 3.3).
        wise_ft: share of the trained weights in the result, the rest being those that training started from; None: all.
    """

    model: str | None = None
    modality: ModalityName | None = None
    init: str = "imagenet"
    num_segments: int | None = None
    num_frames: int | None = None
    frame_interval: int | None = None
    short_side: int | None = None
    crop_size: int | None = None
    crop: CropName = "random-resized"
    min_area: float = 0.08
    flip: bool = True
    epochs: int = 100
    batch_size: int = 32
    reference_batch_size: int = 256
    lr: float = 0.01
    backbone_lr_scale: float = 1.0
    schedule: ScheduleName = "step"
    milestones: tuple[float, ...] = (40, 80)
    warmup_epochs: float = 0.0
    clip_norm: float = 40.0
    weight_decay: float = 1e-4
    classifier_prior: float = 0.0
    dropout: float | None = None
    label_smoothing: float = 0.0
    mixup_alpha: float = 0.0
    temperature: bool = True
    freeze: FreezeName = "nothing"
    probe_epochs: int = 0
    probe_lr: float = 0.01
    train_clips: int | None = None
    target_label: TargetLabel | None = None
    wise_ft: float | None = None

    def with_length(self, num_target: int) -> Self:
        """The recipe for a target of so many records: with ``train_clips``, in passes over it, rounded up."""
        if self.train_clips is None:
            return self
        epochs = max(1, -(-self.train_clips // num_target))
        scale = epochs / self.epochs
        milestones = tuple(epoch * scale for epoch in self.milestones)
        return replace(self, epochs=epochs, milestones=milestones, warmup_epochs=self.warmup_epochs * scale)


@dataclass(frozen=True, kw_only=True)
class StudentRecipe(TeacherRecipe):
    """How a student is trained on the target and auxiliary sources (OmniSource Sec. 3.6).

    Attributes:
        ratio: of the batch sizes, the target's first; () is 1:1 for one auxiliary source, 2:1:...:1 for several.
        alternate: one update per source batch, as in the released code, instead of one for all (OmniSource Eq. 1).
        auxiliary_batch_sizes: of each auxiliary source, for ``alternate``; () is the target's.
        auxiliary_label: the field with the label of an auxiliary record.
        soft_labels: use the teacher's best scores as soft labels instead of its best class.
        mixup: within each source, or across target and auxiliary sources.
        multi_label: one sigmoid per class instead of one softmax.
        ema: decay of the averaged weights, which are then the result; 0 disables averaging.
        num_passes: forward passes per source batch.
        snippets: positive and negative snippets of a segmented video (OmniSource Sec. 3.5); () is 1:2, or as near to it
            as the number of segments allows.
    """

    ratio: tuple[int, ...] = ()
    alternate: bool = False
    auxiliary_batch_sizes: tuple[int, ...] = ()
    auxiliary_label: AuxiliaryLabel = "pseudo_label"
    soft_labels: bool = False
    mixup: MixupName = "none"
    multi_label: bool = False
    ema: float = 0.0
    num_passes: int = 1
    snippets: tuple[int, ...] = ()


def as_student(recipe: TeacherRecipe) -> StudentRecipe:
    """The same training as that of a student without auxiliary sources."""
    return recipe if isinstance(recipe, StudentRecipe) else StudentRecipe(**vars(recipe))
