"""What must be the same after the broker has stopped and started."""
from confluent_kafka import TopicCollection, TopicPartition
from confluent_kafka.admin import ConfigSource, ResourceType

from administering import describe, listed, only
from kafka import equal
from reading_and_writing import CODECS


def state(kafka):
    """Everything a client can see of the topics of this scenario."""
    seen = {}
    for topic in sorted(name for name in listed(kafka) if name.startswith("restart-")):
        description = only(kafka.admin.describe_topics(TopicCollection([topic])))
        overrides = {key: entry.value for key, entry in describe(kafka, ResourceType.TOPIC, topic).items()
                     if ConfigSource(entry.source) == ConfigSource.DYNAMIC_TOPIC_CONFIG}
        partitions = {}
        for partition in description.partitions:
            low, high = kafka.bounds(topic, partition.id)
            messages = kafka.read(topic, (partition.id,), low)
            partitions[partition.id] = (low, high, [(m.offset(), m.timestamp(), m.key(), m.value(), m.headers())
                                                    for m in messages])
        seen[topic] = (str(description.topic_id), overrides, partitions)
    return seen


def before(kafka):
    kafka.create("restart-codecs", 2)
    for name in CODECS:
        kafka.produce("restart-codecs", [{"key": b"k", "value": f"{name} {i}".encode(), "partition": i % 2,
                                          "headers": [("h", b"1"), ("h", None)]} for i in range(200)],
                      compression_type=name, enable_idempotence=name == "lz4")
    kafka.create("restart-trimmed", retention_ms=12_345_678)
    kafka.produce("restart-trimmed", [{"value": str(i).encode()} for i in range(50)])
    only(kafka.admin.delete_records([TopicPartition("restart-trimmed", 0, 20)]))
    kafka.create("restart-deleted")
    only(kafka.admin.delete_topics(["restart-deleted"]))
    kafka.create("restart-empty", 3)
    kafka.remembered = state(kafka)
    equal(sorted(kafka.remembered), ["restart-codecs", "restart-empty", "restart-trimmed"], "topics before")
    equal(kafka.remembered["restart-trimmed"][2][0][:2], (20, 50), "bounds of the trimmed log before")
    kafka.cluster_id = kafka.admin.list_topics(timeout=10).cluster_id


def after(kafka):
    equal(state(kafka), kafka.remembered, "topics, configs, bounds and records")
    equal(kafka.admin.list_topics(timeout=10).cluster_id, kafka.cluster_id, "cluster id")
    equal(kafka.produce("restart-trimmed", [{"value": b"after"}]), [(0, 50)], "place of the next record")
    equal(kafka.read("restart-trimmed", start=50)[0].value(), b"after", "the next record")


SCENARIOS = {"restart:before": before, "restart:after": after}
