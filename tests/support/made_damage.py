"""Videos of which some frames do not decode."""

from pathlib import Path

import av
import numpy as np

FPS, GOP = 25, 10
HEIGHT, WIDTH = 96, 128


def write_damaged_video(path: Path, *, num_frames: int, damaged: range, seed: int = 0) -> Path:
    """An H.264 video with a keyframe every GOP frames and no B-frames, and bits flipped in the packets of some frames.

    A camera pans over a texture, so that all frames differ and show a motion.
    """
    rng = np.random.default_rng(seed)
    canvas = (
        rng.integers(0, 256, (HEIGHT // 8, (WIDTH + 2 * num_frames) // 8 + 1, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    )
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"g": str(GOP), "bf": "0", "sc_threshold": "0"})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(canvas[:, 2 * index : 2 * index + WIDTH]))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        packets = [(packet.pos or 0, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for index in damaged:
        start, size = packets[index]
        for offset in range(start + 5, start + size):  # behind the length and the type of the slice
            data[offset] ^= 0xFF
    path.write_bytes(data)
    return path
