#!/usr/bin/env python3
"""Durable before it is acknowledged: 64 producers, `flush.messages=1`, beside Apache Kafka in one run.

Each producer is a connection with one Produce request under way at a time: one batch of one record of 100 bytes, acks=all,
to a partition of its own choice (producer modulo partitions). So each record waits for an fsync, and what shares one is the
work of the broker. Printed for each broker: records acknowledged a second, percentiles of the time until an answer,
CPU-seconds of the broker for a million records, and fsyncs a second.

fsyncs are counted by strace in a phase of their own, whose records give the ratio; the measured phase is not traced.
Without strace that figure is left out.

The load is this process: one thread, Python's standard library. It takes a core, as the broker does, and bounds what can be
seen to some 15,000 records a second. Kafka needs a JDK and Maven (`cargo xtask jars kafka` is called).
"""
import argparse
import pathlib
import re
import selectors
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import tempfile
import time

from brokers import BROKERS, Broker, prepare
from report import Line, show
from wire import PRODUCE, Connection, batch_of_one, text

TOPIC = "durable"


def produce_request(partition, records):
    data = struct.pack(">ii", partition, len(records)) + records
    body = struct.pack(">hhi", -1, -1, 30_000) + struct.pack(">i", 1) + text(TOPIC) + struct.pack(">i", 1) + data
    payload = struct.pack(">hhi", PRODUCE, 7, 1) + text("bench") + body
    return struct.pack(">i", len(payload)) + payload


# Length, correlation id, topics, name, partitions, index; then the error.
ERROR_AT = 4 + 4 + 4 + 2 + len(TOPIC) + 4 + 4


class Load:
    """The producers, which go on from phase to phase over their connections."""

    def __init__(self, port, producers, partitions, record_bytes):
        records = batch_of_one(b"v" * record_bytes)
        self.selector = selectors.DefaultSelector()
        self.connections = []
        for i in range(producers):
            connection = socket.create_connection(("127.0.0.1", port), 30)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.selector.register(connection, selectors.EVENT_READ, [produce_request(i % partitions, records), b"", 0.0])
            self.connections.append(connection)

    def run(self, seconds):
        """(records acknowledged, seconds taken, times until the answer), all requests answered at the end."""
        clock = time.perf_counter
        times = []
        begin = clock()
        until = begin + seconds
        waiting = 0
        for key in self.selector.get_map().values():
            key.data[2] = clock()
            key.fileobj.sendall(key.data[0])
            waiting += 1
        while waiting:
            ready = self.selector.select(30)
            if not ready:
                raise SystemExit("group_commit: no answer for 30 seconds")
            for key, _ in ready:
                state = key.data
                state[1] += key.fileobj.recv(4096)
                if len(state[1]) < 4 or len(state[1]) < 4 + struct.unpack_from(">i", state[1])[0]:
                    continue
                error = struct.unpack_from(">h", state[1], ERROR_AT)[0]
                if error:
                    raise SystemExit(f"group_commit: a record was refused: error {error}")
                now = clock()
                times.append(now - state[2])
                state[1] = b""
                if now < until:
                    state[2] = now
                    key.fileobj.sendall(state[0])
                else:
                    waiting -= 1
        return len(times), clock() - begin, times

    def close(self):
        for connection in self.connections:
            connection.close()


def fsyncs_per_record(broker, load, seconds):
    if not shutil.which("strace"):
        return None
    with tempfile.NamedTemporaryFile("r") as counts:
        tracer = subprocess.Popen(["strace", "-c", "-f", "-e", "trace=fsync,fdatasync,sync_file_range,msync", "-o", counts.name,
                                   "-p", str(broker.process.pid)], stderr=subprocess.DEVNULL)
        time.sleep(2)
        records, _, _ = load.run(seconds)
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
        table = counts.read()
    calls = [int(line.split()[3]) for line in table.splitlines() if re.search(r" (fsync|fdatasync)$", line)]
    return sum(calls) / records if calls else None


def measure(name, options):
    """A list of rounds."""
    broker = Broker(name, options.bin, folder="group_commit")
    broker.start()
    try:
        with Connection(broker.port) as connection:
            connection.create([TOPIC], options.partitions, {"flush.messages": "1"})
        load = Load(broker.port, options.producers, options.partitions, options.record_size)
        load.run(options.warmup)
        rounds = []
        for _ in range(options.rounds):
            cpu = broker.cpu_seconds()
            records, took, times = load.run(options.seconds)
            cpu = broker.cpu_seconds() - cpu
            times.sort()
            cuts = statistics.quantiles(times, n=100)
            rounds.append({"records/s": records / took, "p50, ms": cuts[49] * 1e3, "p99, ms": cuts[98] * 1e3,
                           "p99.9, ms": times[int(len(times) * 0.999)] * 1e3, "longest, ms": times[-1] * 1e3,
                           "CPU-s per million": cpu / records * 1e6})
        per_record = fsyncs_per_record(broker, load, options.seconds)
        if per_record is not None:
            for each in rounds:
                each["fsyncs/s"] = each["records/s"] * per_record
                each["records per fsync"] = 1 / per_record
        load.close()
        return rounds
    finally:
        broker.stop()
        shutil.rmtree(broker.folder / "data", ignore_errors=True)


def lines(results):
    keys = dict.fromkeys(key for rounds in results.values() for each in rounds for key in each)
    return [Line(key, {name: statistics.median(each[key] for each in rounds if key in each)
                       for name, rounds in results.items() if any(key in each for each in rounds)}) for key in keys]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--producers", type=int, default=64)
    parser.add_argument("--partitions", type=int, default=12)
    parser.add_argument("--record-size", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10, help="of each round (default 10)")
    parser.add_argument("--warmup", type=float, default=20, help="seconds before the first round (default 20)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", default=[], choices=BROKERS)
    parser.add_argument("--bin", type=pathlib.Path, help="the ottla to measure; without it one is built")
    options = parser.parse_args()
    names = [name for name in BROKERS if name in options.only] or BROKERS
    options.bin = prepare(names, options.bin)
    show(lines({name: measure(name, options) for name in names}), names)


if __name__ == "__main__":
    main()
