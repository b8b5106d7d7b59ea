import av

from omnicli.media.packets import decode, packets_and_end, read_packets


def test_packets_end_where_the_file_does_and_none_brings_out_the_rest(tmp_path, film, moving):
    path = film(tmp_path / "a.mkv", moving(10), b_frames=2)
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        packets = list(packets_and_end(file, stream))
        assert len(packets) == 11 and packets[-1] is None and all(packet.size for packet in packets[:-1])
        assert sum(len(decode(stream, packet)) for packet in packets) == 10


def test_what_does_not_decode_is_none(tmp_path, film, moving):
    with av.open(str(film(tmp_path / "a.mkv", moving(3)))) as file:
        assert decode(file.streams.video[0], av.Packet(bytes(100))) is None


def test_a_stream_that_appears_in_the_middle_ends_the_packets_without_an_error(tmp_path, film, moving, case):
    one = film(tmp_path / "one.ts", moving(20), codec="mpeg2video").read_bytes()
    two = two_streams(tmp_path / "two.ts", moving(20)).read_bytes()
    joined = tmp_path / "joined.ts"
    joined.write_bytes(one + two + bytes(2_000_000) + one)  # the end is probed too
    with av.open(str(joined), container_options={"probesize": "5000"}) as file:
        assert len(file.streams) == 1
        assert len(list(read_packets(file, file.streams.video[0]))) >= 39
    with av.open(str(case("newstream.ts"))) as file:
        assert len(list(read_packets(file, file.streams.video[0]))) == 39


def two_streams(path, frames):
    with av.open(str(path), "w") as file:
        streams = [file.add_stream("mpeg2video", rate=25) for _ in range(2)]
        for stream in streams:
            stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for pixels in frames:
            for stream in streams:
                file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")))
        for stream in streams:
            file.mux(stream.encode(None))
    return path
