"""Reads a trace by Perfetto's own schema: nothing in it may be unknown to the
schema, every event has its track, time ascends, slices nest, flows have both
their ends."""

import sys
from collections import defaultdict

from google.protobuf.unknown_fields import UnknownFieldSet
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

MONOTONIC = 3


def unknown(message, path):
    for field in UnknownFieldSet(message):
        sys.exit(f"{path}: field {field.field_number} is not in the schema")
    for descriptor, value in message.ListFields():
        if descriptor.type != descriptor.TYPE_MESSAGE:
            continue
        repeated = descriptor.is_repeated
        for one in value if repeated else [value]:
            unknown(one, f"{path}.{descriptor.name}")


def main(path):
    trace = Trace()
    with open(path, "rb") as file:
        trace.ParseFromString(file.read())
    unknown(trace, "trace")
    assert trace.packet[0].clock_snapshot.primary_trace_clock == MONOTONIC
    tracks, parents, last, open_slices = {}, {}, {}, defaultdict(list)
    flows, ends, kinds = set(), set(), defaultdict(int)
    for packet in trace.packet:
        assert packet.trusted_packet_sequence_id == 1
        if packet.HasField("track_descriptor"):
            track = packet.track_descriptor
            assert track.uuid not in tracks, f"two tracks are {track.uuid}"
            assert track.name, f"track {track.uuid} has no name"
            tracks[track.uuid] = track
            if track.HasField("parent_uuid"):
                parents[track.uuid] = track.parent_uuid
        elif packet.HasField("track_event"):
            event = packet.track_event
            assert packet.timestamp_clock_id == MONOTONIC
            track = tracks.get(event.track_uuid)
            assert track is not None, f"no track {event.track_uuid}"
            assert packet.timestamp >= last.get(track.uuid, 0), f"time goes back on {track.name}"
            last[track.uuid] = packet.timestamp
            kinds[event.type] += 1
            is_counter = event.type == TrackEvent.TYPE_COUNTER
            assert is_counter == track.HasField("counter"), f"{track.name} is a counter or it is not"
            if event.type == TrackEvent.TYPE_SLICE_BEGIN:
                assert event.name
                open_slices[track.uuid].append(event.name)
            elif event.type == TrackEvent.TYPE_SLICE_END:
                assert open_slices[track.uuid], f"an end without its begin on {track.name}"
                open_slices[track.uuid].pop()
            flows.update(event.flow_ids)
            ends.update(event.terminating_flow_ids)
    assert all(parent in tracks for parent in parents.values()), "a track's parent is missing"
    assert not any(open_slices.values()), "a slice never ends"
    assert ends and ends <= flows, "a flow ends that never began"
    print(f"trace: {len(trace.packet)} packets on {len(tracks)} tracks, {len(ends)} flows")
    # A recording has what happened, the run of the tests has everything.
    if not path.endswith("/trace.perfetto"):
        return
    for kind in [TrackEvent.TYPE_SLICE_BEGIN, TrackEvent.TYPE_INSTANT, TrackEvent.TYPE_COUNTER]:
        assert kinds[kind] > 0, f"no event of kind {kind}"
    names = {track.name.split()[0] for track in tracks.values()}
    for name in ["producer", "depth", "offload", "consumer", "consumed,", "ENOSPC"]:
        assert name in names, f"no track of {name}: {sorted(names)}"


main(sys.argv[1])
