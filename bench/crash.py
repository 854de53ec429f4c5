#!/usr/bin/env python3
"""kill -9 under load, again and again: is every acknowledged record there, in order, once?

One round: a broker of its own under target/bench/crash is started, four librdkafka producers (idempotent, acks=all) write
numbered records to partitions of one topic, the broker is killed with SIGKILL in the middle, started again on the same
directory, and the topic is read back whole. Between kill and start the files are verified with `ottla log verify`, which
may find a torn end and nothing else. There are two kinds of rounds:

    flush        flush.messages=1: each acknowledgement waits for its fsync
    no-flush     nothing is fsynced; after a kill the page cache has everything all the same

A record is (producer, partition, number); its producer writes the numbers of a partition in order. Of what is read:

    lost         acknowledged, and not there, or not at the offset that the acknowledgement named
    doubled      there more than once
    reordered    a number of a producer behind a higher one in the same partition
    foreign      there, and never sent, or with other bytes

In the first --rounds of each kind the producers end with the kill (what was in flight may be there or not). With --restart
they go on over it, retrying into the broker that came back, until each has written for another second: then everything that
was sent must be there, once. Exit code 1 when anything is wrong.

What it proves is a kill of the process; a power loss is the simulator's (`sim/`). Needs Python 3.9 and confluent-kafka
(installed into target/bench/venv, unless target/interop has it), and builds ottla with --release unless --bin names one.
"""
import argparse
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = ROOT / "target" / "bench" / "crash"
REQUIREMENTS = ROOT / "interop" / "clients" / "confluent-python" / "requirements.txt"
VENVS = [ROOT / "target" / "interop" / "confluent-python" / "venv", ROOT / "target" / "bench" / "venv"]
PRODUCERS = 4
PARTITIONS = 4
TOPIC = "crash"


def enter_venv():
    """Goes on in a Python that has confluent-kafka."""
    try:
        import confluent_kafka  # noqa: F401
        return
    except ImportError:
        pass
    if os.environ.get("OTTLA_CRASH_VENV"):
        raise SystemExit("crash: confluent-kafka cannot be imported from " + sys.executable)
    for venv in VENVS:
        python = venv / "bin" / "python"
        if python.exists() and subprocess.run([python, "-c", "import confluent_kafka"], capture_output=True).returncode == 0:
            break
    else:
        venv = VENVS[-1]
        python = venv / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", REQUIREMENTS], check=True)
    os.execve(python, [str(python), *sys.argv], {**os.environ, "OTTLA_CRASH_VENV": "1"})


class Broker:
    """A broker on a port and a directory of its own, that can be killed and started again."""

    def __init__(self, bin_path, folder):
        self.bin = bin_path
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.data = folder / "data"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        """Returns the seconds until it listens."""
        log = open(self.folder / "broker.log", "ab")
        started = time.monotonic()
        self.process = subprocess.Popen(
            [self.bin, "serve", "--override", f"listeners=PLAINTEXT://{self.bootstrap}",
             "--override", f"log.dirs={self.data}"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return time.monotonic() - started
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() - started > 60:
                raise SystemExit(f"crash: the broker does not come up; see {self.folder}/broker.log")
            time.sleep(0.005)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def verify(self):
        """What `ottla log verify` finds in the files, as (a torn end, anything else)."""
        ran = subprocess.run([self.bin, "log", "verify", "--records", "--json", self.data], capture_output=True, text=True)
        lines = [json.loads(line) for line in ran.stdout.splitlines()]
        if not lines or "partitions" not in lines[-1]:
            raise SystemExit(f"crash: ottla log verify failed: {ran.stderr}")
        problems = [line for line in lines if "problem" in line]
        torn = [p for p in problems if "next start cuts" in p["problem"]]
        return len(torn), [p for p in problems if p not in torn]


def payload(producer, partition, number):
    """The bytes of a record: what it is, and as many more as follow from that, so that other bytes are noticed."""
    name = f"{producer}:{partition}:{number}:"
    digest = hashlib.sha256(name.encode()).hexdigest()
    return (name + digest * (1 + number % 8)).encode()


class Load(threading.Thread):
    """One producer. Keeps what was sent and what was acknowledged."""

    def __init__(self, number, bootstrap):
        super().__init__(daemon=True)
        from confluent_kafka import Producer
        self.number = number
        self.stop_asked = threading.Event()
        self.sent = [0] * PARTITIONS
        self.acked = {}
        self.errors = []
        self.client = Producer({
            "bootstrap.servers": bootstrap, "enable.idempotence": True, "acks": "all", "linger.ms": 1,
            "batch.num.messages": 20, "queue.buffering.max.messages": 2000, "message.timeout.ms": 120_000,
            "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, "retry.backoff.ms": 20, "log_level": 0,
        })

    def run(self):
        from confluent_kafka import KafkaException
        try:
            self.produce()
        except KafkaException as error:
            # An idempotent producer gives up for good when what it wrote is gone.
            self.errors.insert(0, str(error))

    def produce(self):
        source = random.Random(self.number)
        while not self.stop_asked.is_set():
            partition = source.randrange(PARTITIONS)
            number = self.sent[partition]
            try:
                self.client.produce(TOPIC, payload(self.number, partition, number), partition=partition,
                                    on_delivery=self.delivered(partition, number))
                self.sent[partition] = number + 1
            except BufferError:
                self.client.poll(0.01)
            self.client.poll(0)

    def delivered(self, partition, number):
        def on_delivery(error, message):
            if error:
                self.errors.append(str(error))
            else:
                self.acked[partition, number] = message.offset()
        return on_delivery


def create_topic(bootstrap, flush):
    from confluent_kafka.admin import AdminClient, NewTopic
    # Small segments, so that a kill falls on rolls too.
    config = {"segment.bytes": str(1 << 20), "flush.messages": "1" if flush else str(2**63 - 1)}
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1, config=config)])[TOPIC].result(30)


def read_back(bootstrap):
    """Every record of the topic: a list of (offset, bytes) for each partition."""
    from confluent_kafka import Consumer, KafkaError, TopicPartition
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False,
                         "enable.partition.eof": True, "check.crcs": True, "auto.offset.reset": "error", "log_level": 0})
    consumer.assign([TopicPartition(TOPIC, partition, 0) for partition in range(PARTITIONS)])
    found, ended = [[] for _ in range(PARTITIONS)], set()
    deadline = time.monotonic() + 120
    while len(ended) < PARTITIONS:
        if time.monotonic() > deadline:
            raise SystemExit("crash: the topic cannot be read to its end")
        for message in consumer.consume(5000, 0.2):
            error = message.error()
            if error is None:
                found[message.partition()].append((message.offset(), message.value()))
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
            else:
                raise SystemExit(f"crash: reading back: {error}")
    consumer.close()
    return found


def judge(loads, found, all_must_be_there):
    """Counts what is wrong with what was read."""
    wrong = {"lost": 0, "doubled": 0, "reordered": 0, "foreign": 0}
    for partition, records in enumerate(found):
        places, last = {}, {}
        for offset, value in records:
            try:
                producer, _, number, _ = value.decode().split(":", 3)
                producer, number = int(producer), int(number)
                known = value == payload(producer, partition, number) and number < loads[producer].sent[partition]
            except (ValueError, IndexError):
                known = False
            if not known:
                wrong["foreign"] += 1
                continue
            if (producer, number) in places:
                wrong["doubled"] += 1
            elif number < last.get(producer, -1):
                wrong["reordered"] += 1
            places.setdefault((producer, number), offset)
            last[producer] = max(number, last.get(producer, -1))
        for load in loads:
            if all_must_be_there:
                wrong["lost"] += sum((load.number, n) not in places for n in range(load.sent[partition]))
            for (at, number), offset in load.acked.items():
                if at == partition and places.get((load.number, number)) != offset:
                    wrong["lost"] += 1
    return wrong


def sabotage(data):
    """Cuts half of a partition's last segment off, as no crash of a process does."""
    segment = max((data / f"{TOPIC}-0").glob("*.log"))
    os.truncate(segment, segment.stat().st_size // 2)


def run_round(bin_path, kind, number, seconds, goes_on, keep, sabotaged):
    from confluent_kafka import KafkaException
    broker = Broker(bin_path, WORK / f"{kind}-{number}")
    try:
        broker.start()
        create_topic(broker.bootstrap, kind == "flush")
        loads = [Load(producer, broker.bootstrap) for producer in range(PRODUCERS)]
        for load in loads:
            load.start()
        deadline = time.monotonic() + 30
        while any(len(load.acked) < 100 for load in loads):
            if time.monotonic() > deadline:
                raise SystemExit(f"crash: the load does not get going: {[load.errors[:1] for load in loads]}")
            time.sleep(0.01)
        time.sleep(seconds * random.uniform(0.5, 1.5))
        broker.kill()
        torn, problems = broker.verify()
        if sabotaged:
            sabotage(broker.data)
        if not goes_on:
            stop(loads)
            for load in loads:
                load.client.poll(0.1)
                # What was in flight is given up, so that nothing reaches the broker that comes back.
                load.client.purge()
                load.client.flush(1)
                del load.client
        acked_before = sum(len(load.acked) for load in loads)
        up = broker.start()
        if goes_on:
            time.sleep(1)
            stop(loads)
            for load in loads:
                try:
                    if load.client.flush(60):
                        problems.append({"problem": f"producer {load.number} has records without answer"})
                except KafkaException as error:
                    load.errors.insert(0, str(error))
                problems.extend({"problem": f"producer {load.number}: {error}"} for error in load.errors[:3])
        found = read_back(broker.bootstrap)
        wrong = judge(loads, found, goes_on)
    finally:
        broker.kill()
    bad = bool(problems) or any(wrong.values())
    if not (bad or keep):
        shutil.rmtree(broker.folder, ignore_errors=True)
    return {
        "kind": kind + ("+restart" if goes_on else ""), "round": number, "sent": sum(sum(load.sent) for load in loads),
        "acked": sum(len(load.acked) for load in loads), "at kill": acked_before, "read": sum(map(len, found)), **wrong,
        "torn": torn, "up ms": round(up * 1000), "problems": problems, "bad": bad,
    }


def stop(loads):
    for load in loads:
        load.stop_asked.set()
    for load in loads:
        load.join()


COLUMNS = ["kind", "round", "sent", "acked", "at kill", "read", "lost", "doubled", "reordered", "foreign", "torn", "up ms"]


def row(values):
    return "  ".join(str(value).rjust(max(len(name), 16 if name == "kind" else 7)) for name, value in zip(COLUMNS, values))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, help="the ottla binary; built with --release if not given")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each kind (5)")
    parser.add_argument("--seconds", type=float, default=3, help="how long the load runs before the kill, about (3)")
    parser.add_argument("--quick", action="store_true", help="one short round of each kind: for CI")
    parser.add_argument("--keep", action="store_true", help="keep the directories; those of a bad round are always kept")
    parser.add_argument("--sabotage", action="store_true", help="damage the files after each kill, to see it noticed")
    parser.add_argument("--seed", type=int, help="for the moments of the kills")
    arguments = parser.parse_args()
    enter_venv()
    random.seed(arguments.seed)
    if arguments.bin is None:
        subprocess.run(["cargo", "build", "--release", "--quiet", "-p", "ottla"], cwd=ROOT, check=True)
    bin_path = (arguments.bin or ROOT / "target" / "release" / "ottla").resolve()
    rounds, seconds = (1, 1) if arguments.quick else (arguments.rounds, arguments.seconds)
    print(row(COLUMNS), flush=True)
    bad = 0
    for goes_on in (False, True):
        for kind in ("flush", "no-flush"):
            for number in range(1, rounds + 1):
                result = run_round(bin_path, kind, f"{number}r" if goes_on else str(number), seconds, goes_on,
                                   arguments.keep, arguments.sabotage)
                print(row(result[name] for name in COLUMNS), flush=True)
                for problem in result["problems"][:10]:
                    print("    ", json.dumps(problem), flush=True)
                bad += result["bad"]
    print(f"{bad} bad rounds" if bad else "every acknowledged record is there, in order, once")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
