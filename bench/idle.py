#!/usr/bin/env python3
"""What a broker costs that nobody uses: how soon it answers, how much memory it takes, how much it works at rest.

    python3 bench/idle.py                           # both states, about two minutes
    python3 bench/idle.py --bin target/release/ottla --seconds 10 --starts 5

For an empty broker, and for one with topics and groups, prints

- start: milliseconds from exec until ApiVersions is answered, the median and the worst of several restarts in order.
  The first start, which finds nothing in the page cache, does not count. And what of it was processor time: the rest is
  waiting for the disk, or for a machine that has other work.
- RSS: resident memory after a while at rest, in MiB; of that, what is not pages of the program's file.
- CPU: processor time at rest, in percent of one core, over all threads.

Exits with 1 when a target is missed: 50 ms, 30 MiB, 0.2 %. `--kafka` measures Apache Kafka as well, which has no
targets.
"""
import argparse
import pathlib
import socket
import statistics
import struct
import sys
import time

import brokers

TARGETS = {"start_ms": 50, "rss_mib": 30, "cpu_percent": 0.2}
PARTITIONS, GROUPS = 12, 20
# How long a broker is left alone before it is at rest: what follows a start is over then.
SETTLE_S = 5


def main():
    arguments = parse()
    names = ["ottla", "kafka"] if arguments.kafka else ["ottla"]
    binary = brokers.prepare(names, arguments.bin)
    print(f"{'':40}{'start ms':>10}{'worst':>8}{'of CPU':>8}{'RSS MiB':>10}{'anon':>8}{'CPU %':>8}")
    missed = []
    for name in names:
        full = f"{arguments.topics * PARTITIONS} partitions, {GROUPS} groups"
        for state, fill in [("empty", None), (full, lambda port: populate(port, arguments.topics))]:
            figures = measure(brokers.Broker(name, binary, folder="idle"), fill, arguments)
            print(f"{name + ', ' + state:40}{figures['start_ms']:10.1f}{figures['worst_ms']:8.1f}"
                  f"{figures['start_cpu_ms']:8.1f}{figures['rss_mib']:10.1f}{figures['anon_mib']:8.1f}"
                  f"{figures['cpu_percent']:8.3f}", flush=True)
            if name == "ottla":
                missed += [f"{state}: {figure} is {figures[figure]:.3f}, and at most {target} is asked for"
                           for figure, target in TARGETS.items() if figures[figure] > target]
    for miss in missed:
        print(f"missed: {miss}")
    return 1 if missed else 0


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, help="ottla's binary; built if it is not given")
    parser.add_argument("--seconds", type=float, default=30, help="how long to watch it rest")
    parser.add_argument("--starts", type=int, default=9, help="how often to start it")
    parser.add_argument("--topics", type=int, default=10, help=f"how many topics of {PARTITIONS} partitions there are")
    parser.add_argument("--kafka", action="store_true", help="measure Apache Kafka as well")
    return parser.parse_args()


def measure(broker, fill, arguments):
    """Starts a broker again and again, and watches it rest after the last time."""
    broker.start()
    try:
        if fill:
            fill(broker.port)
        times, cpu_times = [], []
        for _ in range(arguments.starts):
            broker.stop()
            times.append(broker.start() * 1000)
            cpu_times.append(cpu_seconds(broker.process.pid) * 1000)
        time.sleep(SETTLE_S)
        before, began = cpu_seconds(broker.process.pid), time.monotonic()
        time.sleep(arguments.seconds)
        spent, passed = cpu_seconds(broker.process.pid) - before, time.monotonic() - began
        memory = status(broker.process.pid)
    finally:
        broker.stop()
    return {"start_ms": statistics.median(times), "worst_ms": max(times),
            "start_cpu_ms": statistics.median(cpu_times), "rss_mib": memory["VmRSS"] / 1024,
            "anon_mib": memory["RssAnon"] / 1024, "cpu_percent": 100 * spent / passed}


def cpu_seconds(pid):
    """Processor time of all threads, by the scheduler's nanoseconds: ticks of 10 ms are too coarse for one that rests."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def status(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: int(value.split()[0]) for name, value in (line.split(":", 1) for line in lines)
            if value.strip().endswith("kB")}


def populate(port, count):
    """Topics without records, and groups that have committed offsets."""
    with Connection(port) as connection:
        topics = [f"topic-{n}" for n in range(count)]
        created = connection.call(19, 2, array(
            string(topic) + struct.pack(">ih", PARTITIONS, 1) + array([]) + array([]) for topic in topics)
            + struct.pack(">i?", 30_000, False))
        expect_no_error(created, topics)
        for n in range(GROUPS):
            commit(connection, f"group-{n}", topics[n % count])


def commit(connection, group, topic, patience_s=60):
    """Commits an offset, once the group's coordinator is there."""
    offsets = array([struct.pack(">iq", 0, 0) + string("")])
    body = string(group) + struct.pack(">i", -1) + string("") + struct.pack(">q", -1) + array([string(topic) + offsets])
    deadline = time.monotonic() + patience_s
    while True:
        found, = struct.unpack_from(">h", connection.call(10, 0, string(group)))
        code = found
        if found == 0:
            answer = connection.call(8, 2, body)
            code, = struct.unpack_from(">h", answer, len(answer) - 2)
        if code == 0:
            return
        # 14 to 16: the coordinator is loading, is not there yet, or is elsewhere.
        if code not in (14, 15, 16) or time.monotonic() > deadline:
            raise SystemExit(f"idle: an offset of {group} is refused with error {code}")
        time.sleep(0.05)


def expect_no_error(answer, topics):
    """CreateTopics v2: after the throttle time an array of names with error codes and messages."""
    at = 8
    for _ in topics:
        length, = struct.unpack_from(">h", answer, at)
        code, message = struct.unpack_from(">hh", answer, at + 2 + length)
        at += 6 + length + max(message, 0)
        if code != 0:
            raise SystemExit(f"idle: a topic is refused with error {code}")


class Connection:
    """Requests of old versions, one after the other."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.correlation_id = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def call(self, api, version, body):
        self.correlation_id += 1
        request = struct.pack(">hhi", api, version, self.correlation_id) + string("idle") + body
        self.socket.sendall(struct.pack(">i", len(request)) + request)
        length, = struct.unpack(">i", self.read(4))
        answer = self.read(length)
        return answer[4:]

    def read(self, length):
        parts = b""
        while len(parts) < length:
            part = self.socket.recv(length - len(parts))
            if not part:
                raise SystemExit("idle: the broker closed the connection")
            parts += part
        return parts


def string(text):
    return struct.pack(">h", len(text)) + text.encode()


def array(elements):
    elements = list(elements)
    return struct.pack(">i", len(elements)) + b"".join(elements)


if __name__ == "__main__":
    sys.exit(main())
