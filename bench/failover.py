#!/usr/bin/env python3
"""How long partitions are without a leader when a broker of three is killed: ottla, and Apache Kafka beside it if asked for.

    python3 bench/failover.py                          # ottla, 20 rounds, two to four minutes
    python3 bench/failover.py --against kafka          # and Kafka 4.3.1 at its defaults, about fifteen minutes more
    python3 bench/failover.py --bin target/debug/ottla --rounds 6

Three combined nodes are started on loopback, each a broker and a voter of the metadata quorum, with no settings but their
addresses. A round makes six topics of ten partitions with three replicas, waits until every node knows them with full ISRs,
kills one node with SIGKILL (each in its turn, so that the active controller is among them) and asks both survivors for
Metadata every 5 ms.

    a survivor     from SIGKILL until the Metadata of one survivor names a live leader for each of the 60 partitions
    both           the same of both survivors
    answering      from SIGKILL until, after that, each of these leaders has answered ListOffsets for its partitions
    unfenced       from the restart of the victim until the Metadata of all three nodes name three brokers
    ISRs           how many partitions have the victim in their ISR again, at most 3 s after that

Every round has topics of its own, so it begins with full ISRs and leaders that are spread, whatever the last one left. Rounds in
which the victim was the active controller are told apart: there the quorum has to elect as well. Who it is, the controllers
are asked with the heartbeat of a broker that does not exist: all but the active one refuse it with NOT_CONTROLLER.

At the end all three are killed at once, and started again at once, three times: `all killed` is the time from the kill until the
Metadata of every node name a leader for every partition, and these answer, the start of the processes included.

It exits with 1 when a leader or a broker does not come back within a minute, and leaves the logs in target/bench/failover/ then.
A machine that has other work to do shows in the figures: the load average is printed with them.
"""
import argparse
import json
import math
import os
import pathlib
import shutil
import statistics
import struct
import sys
import time

from brokers import WORK, prepare
from nodes import NODES, PATIENCE_S, POLL_S, Nodes, Overdue, metadata
from report import Line, show
from wire import LIST_OFFSETS, Connection, text

TOPICS, PARTITIONS = 6, 10
REJOIN_S = 3
MEDIAN_BELOW_MS, WORST_BELOW_MS = 500, 1000
FOLDER = "failover"


def refused(connection, partitions):
    """How many of the partitions do not answer ListOffsets 1 as led here."""
    by_topic = {}
    for topic, index in partitions:
        by_topic.setdefault(topic, []).append(index)
    body = struct.pack(">ii", -1, len(by_topic))
    for topic, indexes in by_topic.items():
        body += text(topic) + struct.pack(">i", len(indexes)) + b"".join(struct.pack(">iq", index, -1) for index in indexes)
    answer = connection.ask(LIST_OFFSETS, 1, body)
    errors, (count,) = 0, answer.take("i")
    for _ in range(count):
        answer.text()
        indexes, = answer.take("i")
        errors += sum(answer.take("ihqq")[1] != 0 for _ in range(indexes))
    return errors


class Cluster(Nodes):
    def __init__(self, name, bin_path):
        super().__init__(name, bin_path, FOLDER)
        self.topics = []

    def renew_topics(self, label):
        """Takes new topics in the place of those that are there."""
        old, self.topics = self.topics, [f"{label}-{index}" for index in range(TOPICS)]
        with Connection(self.nodes[0].port, PATIENCE_S) as connection:
            for topic in old:
                connection.delete(topic)
            connection.create(self.topics, PARTITIONS, replicas=NODES)
        self.each(self.nodes, lambda node: node.await_view("full ISRs", lambda view: view.full(self.topics, PARTITIONS)))

    def await_answers(self, asked):
        """Waits until every leader that the asked node names answers for its partitions; returns when that was."""
        until, why = time.monotonic() + PATIENCE_S, None
        while time.monotonic() < until:
            try:
                with Connection(asked.port, PATIENCE_S) as connection:
                    led = metadata(connection).leaders
                why = 0
                for node in self.nodes:
                    partitions = [each for each, leader in led.items() if leader == node.number]
                    if partitions:
                        with Connection(node.port, PATIENCE_S) as connection:
                            why += refused(connection, partitions)
                if why == 0:
                    return time.monotonic()
            except (OSError, SystemExit) as error:
                why = error
            time.sleep(POLL_S)
        raise Overdue(f"not every leader that node {asked.number} names answers: {why}")

    def round(self, number):
        """Kills one node. Returns the round's figures, in milliseconds."""
        self.renew_topics(f"round-{number}")
        victim = self.nodes[number % NODES]
        controller = self.active_controller()
        survivors = [node for node in self.nodes if node is not victim]
        live = {node.number for node in survivors}
        with Connection(survivors[0].port) as connection:
            led = sum(leader == victim.number for leader in metadata(connection).leaders.values())
        if led == 0:
            raise Overdue(f"node {victim.number} leads nothing that could be lost")
        # They ask already when it is killed. It leads something, so they cannot be content before.
        watching = [self.pool.submit(node.await_view, f"leaders after the kill of node {victim.number} (the active "
                                     f"controller was {controller})", lambda view: view.led_by(live, self.topics, PARTITIONS))
                    for node in survivors]
        time.sleep(10 * POLL_S)
        killed, killed_at = time.monotonic(), time.time()
        victim.process.kill()
        times = sorted((future.result() - killed) * 1e3 for future in watching)
        answering = (self.await_answers(survivors[0]) - killed) * 1e3
        victim.process.wait()
        restarted = time.monotonic()
        victim.spawn()
        unfenced = (self.await_brokers() - restarted) * 1e3
        return {"victim": victim.number, "was_controller": controller == victim.number, "led": led, "killed_at": killed_at,
                "survivor_ms": times[0], "both_ms": times[-1], "answering_ms": answering, "unfenced_ms": unfenced,
                "isrs": self.rejoined(survivors[0], victim.number)}

    def rejoined(self, node, victim):
        """How many partitions have the victim in their ISR, after some patience for the last of them."""
        until = time.monotonic() + REJOIN_S
        with Connection(node.port, PATIENCE_S) as connection:
            while True:
                count = sum(victim in isr for isr in metadata(connection).isrs.values())
                if count == TOPICS * PARTITIONS or time.monotonic() > until:
                    return count
                time.sleep(POLL_S)

    def all_at_once(self, number):
        """Kills all, and starts all. Returns milliseconds from the kill until every node knows a leader for every partition."""
        self.renew_topics(f"all-{number}")
        killed = time.monotonic()
        for node in self.nodes:
            node.process.kill()
        for node in self.nodes:
            node.process.wait()
        for node in self.nodes:
            node.spawn()
        back = max(self.each(self.nodes, lambda node: node.await_view(
            "every topic and leader after the kill of all", lambda view: view.led_by(view.brokers, self.topics, PARTITIONS))))
        back = max(back, *(self.await_answers(node) for node in self.nodes))
        self.await_brokers()
        return (back - killed) * 1e3


def measure(name, chosen):
    """One broker's rounds and kills of all, and what went wrong."""
    results = {"rounds": [], "all_ms": [], "failure": None}
    cluster = Cluster(name, chosen.bin)
    try:
        cluster.start()
        for number in range(chosen.rounds):
            figures = cluster.round(number)
            results["rounds"].append(figures)
            role = " (active controller)" if figures["was_controller"] else ""
            print(f"{name}, round {number + 1:2}: node {figures['victim']}{role} led {figures['led']}; "
                  f"a survivor {figures['survivor_ms']:.0f} ms, both {figures['both_ms']:.0f} ms, "
                  f"answering {figures['answering_ms']:.0f} ms; unfenced after {figures['unfenced_ms']:.0f} ms, "
                  f"in {figures['isrs']} of {TOPICS * PARTITIONS} ISRs", flush=True)
        for number in range(chosen.all):
            results["all_ms"].append(cluster.all_at_once(number))
            print(f"{name}, all killed at once: every topic and leader after {results['all_ms'][-1]:.0f} ms", flush=True)
    except Overdue as overdue:
        results["failure"] = str(overdue)
        print(f"{name}: {overdue}; see {WORK / FOLDER / name}/*/broker.log", file=sys.stderr, flush=True)
    finally:
        cluster.end()
    if results["failure"] is None:
        for node in cluster.nodes:
            shutil.rmtree(node.folder / "data", ignore_errors=True)
    return results


def percentile(values, share):
    return sorted(values)[math.ceil(share * len(values)) - 1]


def lines(results):
    """The table: of all rounds, of those with the active controller, of those without."""
    rows = {}

    def add(what, name, value, **target):
        rows.setdefault(what, Line(what, {}, **target)).figures[name] = value

    for name, result in results.items():
        for label, rounds in [("all rounds", result["rounds"]),
                              ("active controller killed", [each for each in result["rounds"] if each["was_controller"]]),
                              ("another killed", [each for each in result["rounds"] if not each["was_controller"]])]:
            times = [each["survivor_ms"] for each in rounds]
            both, answering = [each["both_ms"] for each in rounds], [each["answering_ms"] for each in rounds]
            add(f"{label}: rounds", name, len(rounds))
            if times:
                median, worst = (MEDIAN_BELOW_MS, WORST_BELOW_MS) if label == "all rounds" else (None, None)
                add(f"{label}: a survivor, median, ms", name, statistics.median(times), below=median)
                add(f"{label}: a survivor, p90, ms", name, percentile(times, 0.9))
                add(f"{label}: a survivor, worst, ms", name, max(times), below=worst)
                add(f"{label}: both, median, ms", name, statistics.median(both))
                add(f"{label}: both, worst, ms", name, max(both))
                add(f"{label}: answering, median, ms", name, statistics.median(answering))
                add(f"{label}: answering, worst, ms", name, max(answering))
        if result["rounds"]:
            unfenced = [each["unfenced_ms"] for each in result["rounds"]]
            add("restart until unfenced, median, ms", name, statistics.median(unfenced))
            add("restart until unfenced, worst, ms", name, max(unfenced))
            add("ISRs with the victim again, fewest", name, min(each["isrs"] for each in result["rounds"]))
        if result["all_ms"]:
            add("all killed, median, ms", name, statistics.median(result["all_ms"]))
            add("all killed, worst, ms", name, max(result["all_ms"]))
    return list(rows.values())


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="how many kills of one node (default 20)")
    parser.add_argument("--all", type=int, default=3, help="how many kills of all three (default 3)")
    parser.add_argument("--against", choices=["kafka"], help="measure this one as well")
    parser.add_argument("--only", choices=["ottla", "kafka"], help="measure this one alone")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="also write the figures there")
    parser.add_argument("--bin", type=pathlib.Path, help="the ottla to measure; without it one is built")
    return parser.parse_args()


def main():
    chosen = options()
    names = [chosen.only] if chosen.only else ["ottla", *filter(None, [chosen.against])]
    chosen.bin = prepare(names, chosen.bin)
    load = os.getloadavg()[0]
    results = {name: measure(name, chosen) for name in names}
    print(f"\nload average {load:.1f} before, {os.getloadavg()[0]:.1f} after, on {os.cpu_count()} processors\n")
    show(lines(results), names)
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=2))
    return 1 if any(result["failure"] for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
