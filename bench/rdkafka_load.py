"""Load by librdkafka through confluent-kafka for Python, which is installed into an environment under target/bench/."""
import json
import subprocess
import sys

from brokers import ROOT, WORK, settle

VERSION = "2.16.1"
ENVIRONMENT = WORK / "venv"
PYTHON = ENVIRONMENT / "bin" / "python"


def prepare():
    """Sees that the client is there. Returns its version and librdkafka's."""
    marker = ENVIRONMENT / f"confluent-kafka-{VERSION}"
    if not marker.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
        subprocess.run([str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                        f"confluent-kafka=={VERSION}"], check=True)
        marker.touch()
    told = subprocess.run([str(PYTHON), "-c", "import confluent_kafka as c; print(c.version(), c.libversion()[0])"],
                          check=True, stdout=subprocess.PIPE, text=True)
    return told.stdout.strip()


def spawn(broker, mode, topic, *numbers):
    with open(broker.folder / "rdkafka.log", "ab") as log:
        return subprocess.Popen([str(PYTHON), str(ROOT / "bench" / "rdkafka_client.py"), mode, broker.bootstrap, topic,
                                 *map(str, numbers)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)


def result(broker, process, told=""):
    out, _ = process.communicate(told)
    if process.returncode:
        raise SystemExit(f"bench: the librdkafka client failed; see {broker.folder}/rdkafka.log")
    return json.loads(out.strip().splitlines()[-1])


def produce(broker, topic, batch_bytes, record_bytes, gb):
    before = broker.cpu_seconds()
    figures = result(broker, spawn(broker, "produce", topic, batch_bytes, record_bytes, int(gb * 1e9 / record_bytes)))
    return {"CPU-s/GB": (broker.cpu_seconds() - before) / (broker.log_bytes(topic) / 1e9), **figures}


def consume(broker, topic, records):
    settle(broker)
    before = broker.cpu_seconds()
    figures = result(broker, spawn(broker, "consume", topic, records))
    return {"CPU-s/GB": (broker.cpu_seconds() - before) / (broker.log_bytes(topic) / 1e9), **figures}


def tails(broker, topic, count):
    """Readers at the end of the topic, once all of them are there."""
    readers = [spawn(broker, "tail", topic) for _ in range(count)]
    for reader in readers:
        if reader.stdout.readline().strip() != "ready":
            raise SystemExit(f"bench: a reader failed; see {broker.folder}/rdkafka.log")
    return readers


def at_rate(broker, topic, record_bytes, mb_per_s, seconds, warmup_s=0):
    rate = int(mb_per_s * 1e6 / record_bytes)
    return result(broker, spawn(broker, "rate", topic, record_bytes, rate, seconds, warmup_s))
