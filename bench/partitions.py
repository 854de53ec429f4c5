#!/usr/bin/env python3
"""What many partitions cost a broker: ottla beside Apache Kafka, in one run, from the same properties.

Each broker is started in turn as a single combined node on loopback, with at most 20,000 descriptors. From one connection
it is asked for --topics topics of --partitions partitions each (10 times 1,000), one request for each topic; with --written
one record is then produced to each partition. A partition is there when it answers ListOffsets without error: its log is open
and it leads.

    created     from the first CreateTopics request until all partitions answer
    RSS         VmRSS and the number of open descriptors, after that, at rest
    restart     from SIGTERM until all partitions answer again; the stop alone is given too
    kill -9     from SIGKILL until all partitions answer again

Kafka runs with -Xms1g -Xmx1g and the options of its own start script. Figures are for comparison within one run on one
machine. Needs a JDK and Maven (`cargo xtask jars kafka` is called), and builds ottla with --release unless --bin names one.
"""
import argparse
import json
import pathlib
import resource
import shutil
import socket
import struct
import sys
import time

from brokers import BROKERS, Broker, prepare

DESCRIPTORS = 20_000
PATIENCE_S = 900
CREATE_TOPICS, LIST_OFFSETS, PRODUCE = 19, 2, 0
FIGURES = {"created_s": "created, s", "rss_mb": "RSS, MB", "descriptors": "descriptors", "stop_s": "stop, s",
           "restart_s": "stop and clean restart, s", "kill_s": "restart after kill -9, s",
           "rss_after_mb": "RSS after the restarts, MB", "descriptors_after": "descriptors after the restarts"}


def text(value):
    return struct.pack(">h", len(value)) + value.encode()


class Connection:
    """Speaks the old versions of a few APIs, which need no tagged fields."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self.socket.settimeout(PATIENCE_S)
        self.file = self.socket.makefile("rb")

    def ask(self, api, version, body):
        frame = struct.pack(">hhi", api, version, 1) + text("bench") + body
        self.socket.sendall(struct.pack(">i", len(frame)) + frame)
        length, = struct.unpack(">i", self.file.read(4))
        return Answer(self.file.read(length)[4:])

    def create(self, topic, partitions):
        """CreateTopics 4."""
        body = struct.pack(">i", 1) + text(topic) + struct.pack(">ihii", partitions, 1, 0, 0)
        answer = self.ask(CREATE_TOPICS, 4, body + struct.pack(">ib", PATIENCE_S * 1000, 0))
        answer.take("ii")
        answer.text()
        error, = answer.take("h")
        if error:
            raise SystemExit(f"partitions: creating {topic}: error {error}, {answer.text()}")

    def missing(self, topic, partitions):
        """How many partitions do not answer ListOffsets 1 as leaders."""
        each = b"".join(struct.pack(">iq", index, -1) for index in range(partitions))
        answer = self.ask(LIST_OFFSETS, 1, struct.pack(">ii", -1, 1) + text(topic) + struct.pack(">i", partitions) + each)
        answer.take("i")
        answer.text()
        count, = answer.take("i")
        return sum(answer.take("ihqq")[1] != 0 for _ in range(count))

    def write(self, topic, partitions, batch):
        """Produce 3, with acks=1, a record for each partition."""
        each = b"".join(struct.pack(">ii", index, len(batch)) + batch for index in range(partitions))
        head = struct.pack(">hhii", -1, 1, 60_000, 1)
        answer = self.ask(PRODUCE, 3, head + text(topic) + struct.pack(">i", partitions) + each)
        answer.take("i")
        answer.text()
        count, = answer.take("i")
        errors = {answer.take("ihqq")[1] for _ in range(count)} - {0}
        if errors:
            raise SystemExit(f"partitions: writing to {topic}: errors {errors}")


class Answer:
    def __init__(self, content):
        self.content = content
        self.at = 0

    def take(self, form):
        values = struct.unpack_from(">" + form, self.content, self.at)
        self.at += struct.calcsize(">" + form)
        return values

    def text(self):
        length, = self.take("h")
        self.at += max(length, 0)
        return self.content[self.at - max(length, 0):self.at].decode()


def crc32c(content):
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def one_record():
    """A batch, version 2, of one record without key, with a value of 100 bytes."""
    # Lengths as zigzag varints: attributes, timestamp delta, offset delta, key -1, value, no headers.
    record = b"\0\0\0\x01" + b"\xc8\x01" + b"x" * 100 + b"\0"
    record = struct.pack("BB", (len(record) * 2 & 0x7F) | 0x80, len(record) * 2 >> 7) + record
    now_ms = int(time.time() * 1000)
    rest = struct.pack(">hiqqqhii", 0, 0, now_ms, now_ms, -1, -1, -1, 1) + record
    checked = struct.pack(">ib", 0, 2) + struct.pack(">I", crc32c(rest)) + rest
    return struct.pack(">qi", 0, len(checked)) + checked


def await_all(broker, chosen):
    """Waits until all partitions answer."""
    left = [f"many-{i}" for i in range(chosen.topics)]
    started = time.monotonic()
    connection = Connection(broker.port)
    while left:
        if connection.missing(left[-1], chosen.partitions) == 0:
            left.pop()
        elif time.monotonic() - started > PATIENCE_S:
            raise SystemExit(f"partitions: {broker.name}: {left[-1]} is not there; see {broker.folder}/broker.log")
        else:
            time.sleep(0.05)


def at_rest(broker):
    while True:
        before = broker.cpu_seconds()
        time.sleep(1)
        if broker.cpu_seconds() - before <= 0.1:
            return


def timed(work):
    started = time.monotonic()
    work()
    return time.monotonic() - started


def measure(name, chosen):
    broker = Broker(name, chosen.bin, folder="partitions")
    figures = {}
    try:
        broker.start()
        at_rest(broker)

        def create():
            connection = Connection(broker.port)
            for i in range(chosen.topics):
                connection.create(f"many-{i}", chosen.partitions)
            await_all(broker, chosen)

        figures["created_s"] = timed(create)
        if chosen.written:
            connection, batch = Connection(broker.port), one_record()
            figures["written_s"] = timed(
                lambda: [connection.write(f"many-{i}", chosen.partitions, batch) for i in range(chosen.topics)])
        at_rest(broker)
        figures |= {"rss_mb": broker.rss_mb(), "descriptors": broker.descriptors()}

        def start():
            broker.start(PATIENCE_S)
            await_all(broker, chosen)

        figures["stop_s"] = timed(lambda: broker.stop(PATIENCE_S))
        figures["restart_s"] = figures["stop_s"] + timed(start)
        at_rest(broker)
        figures["kill_s"] = timed(lambda: (broker.kill(), start()))
        at_rest(broker)
        figures |= {"rss_after_mb": broker.rss_mb(), "descriptors_after": broker.descriptors()}
    finally:
        broker.stop(PATIENCE_S)
    shutil.rmtree(broker.folder / "data", ignore_errors=True)
    return figures


def show(results):
    names = list(results)
    print(f"{'':36}" + "".join(f"{name:>12}" for name in names) + (f"{'ratio':>12}" if len(names) == 2 else ""))
    for key, what in (FIGURES | {"written_s": "a record to each, s"}).items():
        values = [result.get(key) for result in results.values()]
        if None in values:
            continue
        line = f"{what:36}" + "".join(f"{value:>12,.2f}" for value in values)
        print(line + (f"{values[0] / values[1]:>12.3f}" if len(values) == 2 else ""))


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--topics", type=int, default=10, help="how many topics (default 10)")
    parser.add_argument("--partitions", type=int, default=1000, help="partitions of each (default 1000)")
    parser.add_argument("--written", action="store_true", help="write a record to each partition before the restarts")
    parser.add_argument("--only", choices=BROKERS, help="only this broker")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="also write the figures there")
    parser.add_argument("--bin", type=pathlib.Path, help="the ottla to measure; without it one is built")
    return parser.parse_args()


def main():
    chosen = options()
    names = [chosen.only] if chosen.only else BROKERS
    chosen.bin = prepare(names, chosen.bin)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limit = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    results = {}
    for name in names:
        results[name] = measure(name, chosen)
        print(f"{name}: {json.dumps(results[name])}", file=sys.stderr, flush=True)
    show(results)
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=2))


main()
