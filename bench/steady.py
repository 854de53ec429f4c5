"""Clients that write one record after another with acks=all, idempotently, and note when each was acknowledged."""
import itertools
import json
import struct
import subprocess
import threading
import time

import rdkafka_load
from brokers import ROOT
from nodes import metadata
from wire import INIT_PRODUCER_ID, PRODUCE, Connection, batch_of_one, text

EVERY_S, TIMEOUT_S = 0.005, 0.5
# How long it waits before it asks again who leads, when nobody was told or a record was refused.
AGAIN_S = 0.01
COORDINATOR_LOAD_IN_PROGRESS, DUPLICATE_SEQUENCE_NUMBER = 14, 46
# NOT_LEADER_OR_FOLLOWER, REQUEST_TIMED_OUT, UNKNOWN_TOPIC_OR_PARTITION, NOT_ENOUGH_REPLICAS before and after the append, and a log
# that fails: what any client tries again.
RETRIED = (3, 5, 6, 7, 19, 20, 56)


class Refused(Exception):
    """An answer that asks for another try."""


class Raw(threading.Thread):
    """One connection to the leader of a topic's only partition, one record under way at a time. A request without an answer for half
    a second is given up with its connection; then any node is asked who leads, and the same record is sent again."""

    def __init__(self, cluster, topic):
        super().__init__(daemon=True)
        self.nodes, self.topic = {node.number: node for node in cluster.nodes}, topic
        self.stopped, self.acked, self.failure = threading.Event(), [], None
        self.connection, self.leader = None, None
        # Whom it asks next. The one that failed it is the last.
        self.asked = itertools.cycle(self.nodes)

    def run(self):
        try:
            producer = self.own_id()
            started = time.monotonic()
            for sequence in itertools.count():
                time.sleep(max(started + sequence * EVERY_S - time.monotonic(), 0))
                self.write(batch_of_one(b"x" * 100, (*producer, sequence)))
                if self.stopped.is_set():
                    return
                # What was late is not sent in a rush: it would hide the next gap.
                started = max(started, time.monotonic() - sequence * EVERY_S)
        except Exception as error:
            self.failure = repr(error)

    def own_id(self):
        with Connection(self.nodes[1].port) as connection:
            while True:
                answer = connection.ask(INIT_PRODUCER_ID, 0, struct.pack(">hi", -1, 60_000))
                _, error, id, epoch = answer.take("ihqh")
                if error not in (0, COORDINATOR_LOAD_IN_PROGRESS):
                    raise RuntimeError(f"no producer id: error {error}")
                if error == 0:
                    return id, epoch
                time.sleep(AGAIN_S)

    def write(self, batch):
        """Tries until it is acknowledged."""
        while not self.stopped.is_set():
            try:
                if self.connection is None:
                    self.find_leader()
                self.produce(batch)
                self.acked.append(time.monotonic())
                return
            # SystemExit is how a connection tells that it was closed.
            except (OSError, SystemExit, Refused) as error:
                self.let_go()
                if isinstance(error, Refused):
                    time.sleep(AGAIN_S)

    def let_go(self):
        if self.connection is not None:
            self.connection.__exit__()
        self.connection = None

    def find_leader(self):
        """Asks one node after another."""
        failed = self.leader
        while not self.stopped.is_set():
            number = next(self.asked)
            if number == failed:
                failed = None
                continue
            try:
                with Connection(self.nodes[number].port, TIMEOUT_S) as connection:
                    leader = metadata(connection).leaders.get((self.topic, 0), -1)
            except (OSError, SystemExit):
                continue
            if leader in self.nodes:
                self.leader = leader
                self.connection = Connection(self.nodes[leader].port, TIMEOUT_S)
                return
            time.sleep(AGAIN_S)

    def produce(self, batch):
        """Produce 7."""
        partition = struct.pack(">iii", 1, 0, len(batch)) + batch
        body = struct.pack(">hhii", -1, -1, int(TIMEOUT_S * 1e3), 1) + text(self.topic) + partition
        answer = self.connection.ask(PRODUCE, 7, body)
        answer.take("i")
        answer.text()
        _, _, error = answer.take("iih")
        if error in RETRIED:
            raise Refused(error)
        if error not in (0, DUPLICATE_SEQUENCE_NUMBER):
            raise RuntimeError(f"a record was refused with error {error}")

    def end(self):
        """Stops it; when its records were acknowledged."""
        self.stopped.set()
        self.join()
        self.let_go()
        if self.failure is not None:
            raise RuntimeError(f"the client failed: {self.failure}")
        return self.acked


class Librdkafka:
    """The same by librdkafka, in a process of its own."""

    def __init__(self, cluster, topic):
        self.log = cluster.folder / "rdkafka.log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [str(rdkafka_load.PYTHON), str(ROOT / "bench" / "rdkafka_client.py"), "steady", cluster.bootstrap, topic,
                 str(int(EVERY_S * 1e3)), str(int(TIMEOUT_S * 1e3))],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)

    def start(self):
        """It has started."""

    def end(self):
        told, _ = self.process.communicate("\n")
        if self.process.returncode:
            raise RuntimeError(f"librdkafka's client failed; see {self.log}")
        return [each / 1e9 for each in json.loads(told)]
