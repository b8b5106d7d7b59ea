import av

from omnicli.media.packets import decode, is_mpeg4_b_frame, packets_and_end, read_packets


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


class Container:
    """Gives packets, and then fails as PyAV does when a stream appeared in the middle."""

    def __init__(self, packets):
        self.packets = packets

    def demux(self, stream):
        yield from self.packets
        raise IndexError("list index out of range")


def test_a_stream_that_appears_in_the_middle_ends_the_packets_without_an_error(case):
    packets = [av.Packet(b"a"), av.Packet(), av.Packet(b"b")]
    assert [bytes(packet) for packet in read_packets(Container(packets), None)] == [b"a", b"b"]
    with av.open(str(case("newstream.ts"))) as file:
        assert len(list(read_packets(file, file.streams.video[0]))) == 39


def test_b_frames_of_mpeg4_are_known_by_their_packets(tmp_path, film, moving):
    with av.open(str(film(tmp_path / "a.mkv", moving(7, 96, 128), codec="mpeg4", b_frames=2))) as file:
        kinds = [is_mpeg4_b_frame(packet) for packet in read_packets(file, file.streams.video[0])]
    assert kinds == [False, False, True, True, False, True, True]
    assert not is_mpeg4_b_frame(av.Packet(b"\0\0\x01\xb6"))
