"""Reads an interval log by HdrHistogram's own reader: count and greatest value
of each tag are those that went in."""

import json
import os
import sys

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader


def main(path):
    expected = None
    if os.path.exists(path + ".json"):
        with open(path + ".json", encoding="ascii") as file:
            expected = json.load(file)
        assert expected
    reader = HistogramLogReader(path, HdrHistogram(1, 1 << 62, 3))
    counts, greatest, lines = {}, {}, 0
    while (histogram := reader.get_next_interval_histogram()) is not None:
        tag = histogram.get_tag()
        counts[tag] = counts.get(tag, 0) + histogram.get_total_count()
        greatest[tag] = max(greatest.get(tag, 0), histogram.get_max_value())
        assert histogram.get_end_time_stamp() > histogram.get_start_time_stamp()
        lines += 1
    print(f"log: {lines} histograms of {len(counts)} tags")
    # Nobody told what is in a recording.
    if expected is None:
        assert counts and all(counts.values()), f"a tag of nothing: {counts}"
        return
    assert abs(reader.start_time_sec - 1767225600) < 1
    for tag, (count, most) in expected.items():
        assert counts.get(tag) == count, f"{tag}: {counts.get(tag)} values, not {count}"
        # Three significant digits on both sides; two in what we keep of residency.
        allowed = most * (0.01 if "residency" in tag else 0.002) + 1
        assert abs(greatest[tag] - most) <= allowed, f"{tag}: {greatest[tag]}, not {most}"


main(sys.argv[1])
