"""What initial weights say of themselves; ``video/test_folder_model.py`` has those of folders."""

from omnicli.models.checkpoint import save_checkpoint
from omnicli.models.factory import create_model, model_spec
from omnicli.models.stored_options import published_config, stored_options


def test_of_a_checkpoint_of_omni(tmp_path):
    spec = model_spec("slowonly-r18w16", classes=["a", "b"], num_frames=2, crop_size=32)
    model = create_model(spec.name, num_classes=2)
    save_checkpoint(tmp_path / "a.pth", meta={"model": spec.to_meta()}, state_dict=model.state_dict())
    assert stored_options(str(tmp_path / "a.pth")) == {
        "model": "slowonly-r18w16", "num_frames": 2, "frame_interval": 16, "short_side": 37, "crop_size": 32,
    }  # fmt: skip
    assert published_config(str(tmp_path / "a.pth")) is None
    assert published_config("scratch") is None
