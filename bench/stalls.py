#!/usr/bin/env python3
"""How long a fault keeps acks=all producers waiting: ottla, and Apache Kafka beside it if asked for.

    python3 bench/stalls.py                                   # ottla, three rounds of each row, about six minutes
    python3 bench/stalls.py --against kafka                   # and Kafka 4.3.1 at its defaults, about ten minutes more
    python3 bench/stalls.py --only ottla --row leader-paused --rounds 1

Three combined nodes are started on loopback, each a broker and a voter of the metadata quorum, with no settings but their
addresses. A round makes a topic of one partition with three replicas and min.insync.replicas=2, and beside it one whose leaders
are spread. Two clients write a record each 5 ms, with acks=all, idempotently: librdkafka, and a raw one that has one request
under way. Both give a request up after 500 ms, ask who leads, and send the record again; so a paused leader, which holds what it was
sent, costs half a second whatever the other brokers do. Two seconds later the fault comes:

    follower-killed, follower-paused    SIGKILL or SIGSTOP to a follower of the partition that is not the active controller
    leader-killed, leader-paused        to its leader, which is not the active controller
    controller-killed                   to the active controller, which follows
    both-killed                         to one broker that leads the partition and is the active controller
    idle-killed                         to a follower that leads nothing in the whole cluster

It lasts until records were acknowledged without a gap of half a second for four seconds, and for eight at least; then the broker is
started again or goes on, and the round ends a second after its replicas are all in sync.

    stall          the longest time between two acknowledgements, from the fault to the end of the round, of each client
    after          of that what came after the broker was back
    ISR changes    how often the leader or the ISR of the partition changed, as a node sees it that is asked each 20 ms
    full           from when the broker was back until every replica is in sync again

It exits with 1 when replicas do not come back in sync within a minute or a client is refused, and leaves the logs in
target/bench/stalls/ then. A machine that has other work to do shows in the figures: the load average is printed with them.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import sys
import threading
import time

import rdkafka_load
from brokers import prepare
from nodes import NODES, PATIENCE_S, Nodes, Overdue, metadata
from report import Line, show
from steady import Librdkafka, Raw
from wire import Connection

FOLDER = "stalls"
ROWS = ["follower-killed", "follower-paused", "leader-killed", "leader-paused", "controller-killed", "both-killed", "idle-killed"]
STEADY_S, AT_LEAST_S, AFTERWARDS_S, LONGEST_S = 2, 8, 1, 60
# When the acknowledgements count as flowing again.
QUIET_S, GAP_S = 4, 0.5
WATCHED_EVERY_S = 0.02
BESIDE = 6
STALL_BELOW_MS = 1000


class Watch(threading.Thread):
    """Asks a node who leads and who is in sync, and notes each change."""

    def __init__(self, node, topic):
        super().__init__(daemon=True)
        self.node, self.topic = node, topic
        self.stopped, self.changes = threading.Event(), []

    def run(self):
        connection, last = None, None
        while not self.stopped.wait(WATCHED_EVERY_S):
            try:
                connection = connection or Connection(self.node.port)
                seen = metadata(connection).spread(self.topic)
            # It does not answer for a moment. SystemExit is how a connection tells that it was closed.
            except (OSError, SystemExit):
                connection = None
                continue
            if seen != last:
                self.changes.append((time.monotonic(), seen))
            last = seen
        if connection is not None:
            connection.__exit__()

    def end(self):
        """How often it changed."""
        self.stopped.set()
        self.join()
        return len(self.changes) - 1


def placed(row, controller):
    """The ids of the measured partition's leader and of the victim."""
    others = [id for id in range(1, NODES + 1) if id != controller]
    match row.split("-")[0]:
        case "leader":
            return others[0], others[0]
        case "controller":
            return others[0], controller
        case "both":
            return controller, controller
        case _:
            return others[0], others[1]


def replicas_led_by(leader):
    return [leader, *(id for id in range(1, NODES + 1) if id != leader)]


class Cluster(Nodes):
    def __init__(self, name, bin_path):
        super().__init__(name, bin_path, FOLDER)
        self.topics = []

    def round(self, row, number):
        """One round's figures."""
        controller = self.active_controller()
        leader, victim = placed(row, controller)
        topic = self.renew_topics(f"{row}-{number}", leader, victim if row.startswith("idle") else None)
        self.await_full(topic)
        clients = {"raw": Raw(self, topic), "librdkafka": Librdkafka(self, topic)}
        watch = Watch(next(node for node in self.nodes if node.number not in (victim, leader)), topic)
        for each in (*clients.values(), watch):
            each.start()
        self.await_acks(clients["raw"])
        node = self.nodes[victim - 1]
        fault = time.monotonic()
        node.pause() if row.endswith("paused") else node.kill()
        self.await_flow(clients["raw"], fault)
        back = time.monotonic()
        node.resume() if row.endswith("paused") else node.spawn()
        full = self.await_full(topic)
        time.sleep(AFTERWARDS_S)
        acked = {name: client.end() for name, client in clients.items()}
        figures = {"controller": controller, "leader": leader, "victim": victim, "isr_changes": watch.end(), "full_s": full - back,
                   "changes": [(at - fault, seen[0]) for at, seen in watch.changes]}
        for name, times in acked.items():
            figures |= {f"{name}_ms": longest_ms(times, fault), f"{name}_after_ms": longest_ms(times, back)}
        return figures

    def renew_topics(self, label, leader, leads_nothing):
        """Takes new topics in the place of those that are there. Returns the measured one."""
        old, self.topics = self.topics, [label, f"{label}-beside"]
        leaders = [id for id in range(1, NODES + 1) if id != leads_nothing]
        with Connection(self.nodes[0].port, PATIENCE_S) as connection:
            for topic in old:
                connection.delete(topic)
            connection.create_placed(label, [replicas_led_by(leader)], {"min.insync.replicas": "2"})
            beside = [replicas_led_by(leaders[index % len(leaders)]) for index in range(BESIDE)]
            connection.create_placed(f"{label}-beside", beside)
        return label

    def await_full(self, topic):
        """Waits until every node knows all replicas in sync; returns when that was."""
        return max(self.each(self.nodes, lambda node: node.await_view(
            "full ISRs", lambda view: view.full([topic], 1) and view.full([f"{topic}-beside"], BESIDE))))

    def await_acks(self, client):
        """Waits until records have been acknowledged for a while."""
        until = time.monotonic() + PATIENCE_S
        while len(client.acked) < STEADY_S / 0.02:
            if time.monotonic() > until or client.failure:
                raise Overdue(f"records are not acknowledged: {client.failure}")
            time.sleep(0.01)
        time.sleep(STEADY_S)

    def await_flow(self, client, fault):
        """Waits until acknowledgements have come without a gap for a while, and as long as the fault is to last at least."""
        since = fault
        while time.monotonic() < max(since + QUIET_S, fault + AT_LEAST_S):
            time.sleep(0.01)
            last = client.acked[-1]
            if time.monotonic() - last > GAP_S:
                since = time.monotonic()
            if client.failure or time.monotonic() > fault + LONGEST_S:
                raise Overdue(f"records are not acknowledged for {time.monotonic() - last:.1f} s: {client.failure}")


def longest_ms(times, since):
    """The longest gap of which at least a part lies after that time."""
    return max((later - earlier) * 1e3 for earlier, later in zip(times, times[1:]) if later >= since)


def measure(name, chosen):
    """One broker's rounds by row, and what went wrong."""
    result = {"rows": {row: [] for row in chosen.row}, "failure": None}
    cluster = Cluster(name, chosen.bin)
    try:
        cluster.start()
        for number in range(chosen.rounds):
            for row in chosen.row:
                figures = cluster.round(row, number)
                result["rows"][row].append(figures)
                print(f"{name}, {row}: stall {figures['raw_ms']:.0f} ms, librdkafka's {figures['librdkafka_ms']:.0f} ms "
                      f"(after {figures['raw_after_ms']:.0f} and {figures['librdkafka_after_ms']:.0f}); "
                      f"{figures['isr_changes']} ISR changes, full after {figures['full_s']:.2f} s", flush=True)
    except (Overdue, RuntimeError, OSError, SystemExit) as error:
        result["failure"] = str(error)
        print(f"{name}: {error}; see {cluster.folder}/", file=sys.stderr, flush=True)
    finally:
        cluster.end()
    if result["failure"] is None:
        for node in cluster.nodes:
            shutil.rmtree(node.folder / "data", ignore_errors=True)
    return result


def lines(results, rows):
    table = []
    for row in rows:
        rounds = {name: result["rows"][row] for name, result in results.items() if result["rows"][row]}

        def add(what, figure, **target):
            table.append(Line(f"{row}: {what}", {name: figure(each) for name, each in rounds.items()}, **target))

        add("stall, median, ms", lambda each: statistics.median(round["raw_ms"] for round in each))
        add("stall, worst, ms", lambda each: max(round["raw_ms"] for round in each), below=STALL_BELOW_MS)
        add("stall of librdkafka, worst, ms", lambda each: max(round["librdkafka_ms"] for round in each))
        add("ISR changes, most", lambda each: max(round["isr_changes"] for round in each))
        add("full again, worst, s", lambda each: max(round["full_s"] for round in each))
    return table


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="of each row (default 3)")
    parser.add_argument("--row", action="append", choices=ROWS, help="only this row; may be given several times")
    parser.add_argument("--against", choices=["kafka"], help="measure this one as well")
    parser.add_argument("--only", choices=["ottla", "kafka"], help="measure this one alone")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="also write the figures there")
    parser.add_argument("--bin", type=pathlib.Path, help="the ottla to measure; without it one is built")
    chosen = parser.parse_args()
    chosen.row = [row for row in ROWS if not chosen.row or row in chosen.row]
    return chosen


def main():
    chosen = options()
    names = [chosen.only] if chosen.only else ["ottla", *filter(None, [chosen.against])]
    chosen.bin = prepare(names, chosen.bin)
    rdkafka_load.prepare()
    load = os.getloadavg()[0]
    results = {name: measure(name, chosen) for name in names}
    print(f"\nload average {load:.1f} before, {os.getloadavg()[0]:.1f} after, on {os.cpu_count()} processors\n")
    show(lines(results, chosen.row), names)
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=2))
    return 1 if any(result["failure"] for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
