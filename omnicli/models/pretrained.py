"""The pretrained weights that a backbone's name means: those of ImageNet-1k, from which the papers and mmaction2 start.

timm names weights by a tag after a dot (``resnet50.tv_in1k``). Its default for a bare name changes with its version and
is often another data set's: 300 M more images for ``tf_efficientnet_b4``. So a bare name never means timm's default. A
tag in the name is taken as given: ``resnet50.fb_swsl_ig1b_ft_in1k`` is the IG-1B of OmniSource Table 2.
"""

from omnicli.models.libraries import library

TORCHVISION = "torchvision."
TORCHVISION_WEIGHTS = "IMAGENET1K_V1"
TAGS = {  # V1 of torchvision for what mmaction2 takes from there; no AdvProp or Noisy Student for EfficientNets
    **{f"resnet{depth}": "tv_in1k" for depth in (18, 34, 50, 101, 152)},
    **dict.fromkeys(("resnext50_32x4d", "resnext101_32x8d", "wide_resnet50_2", "wide_resnet101_2"), "tv_in1k"),
    **{f"densenet{depth}": "tv_in1k" for depth in (121, 161, 169, 201)},
    **{f"tf_efficientnet_b{scale}": "in1k" for scale in range(6)},
    "tf_efficientnet_b6": "aa_in1k",
    "tf_efficientnet_b7": "aa_in1k",
    "tf_efficientnet_b8": "ra_in1k",
}
OTHER_DATA = {"ft", "jft", "ssld", "swag", "in12k", "in21k", "in22k"}  # parts of tags: not ImageNet-1k alone


def without_tag(name: str) -> str:
    """The architecture in the name of a backbone, of a model or of a model's signature.

    >>> without_tag("tsn-resnet50.tv_in1k"), without_tag("tsn-torchvision.resnet50"), without_tag("tsn-vgg16.x 256/224")
    ('tsn-resnet50', 'tsn-torchvision.resnet50', 'tsn-vgg16 256/224')
    """
    name, space, rest = name.partition(" ")
    return (name if TORCHVISION in name else name.partition(".")[0]) + space + rest


def imagenet_weights(backbone: str) -> str:
    """The name of a backbone with the tag of its ImageNet-1k weights; unchanged if it has a tag, or has none of these.

    Ours: for a backbone that the papers do not use, timm's default if that is of ImageNet-1k alone, else the first that
    is.

    >>> imagenet_weights("tf_efficientnet_b4"), imagenet_weights("resnet50.a1_in1k")
    ('tf_efficientnet_b4.in1k', 'resnet50.a1_in1k')
    """
    if backbone in TAGS:
        return f"{backbone}.{TAGS[backbone]}"
    if "." in backbone or backbone == "bninception":
        return backbone
    timm = library("timm")
    if not timm.is_model(backbone):
        return backbone
    default = getattr(timm.get_pretrained_cfg(backbone), "tag", None)
    tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{backbone}.*")]
    alone = sorted(filter(is_imagenet_alone, tags), key=lambda tag: tag != default)
    return f"{backbone}.{alone[0]}" if alone else backbone


def is_imagenet_alone(tag: str) -> bool:
    """Whether weights of this tag were trained on ImageNet-1k and nothing else.

    >>> is_imagenet_alone("tv_in1k"), is_imagenet_alone("ns_jft_in1k"), is_imagenet_alone("fb_swsl_ig1b_ft_in1k")
    (True, False, False)
    """
    return tag.endswith("in1k") and not OTHER_DATA & set(tag.split("_"))
