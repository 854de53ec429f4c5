"""Topics, configs and the cluster, through AdminClient."""
from confluent_kafka import OFFSET_END, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (AlterConfigOpType, ConfigEntry, ConfigResource, ConfigSource, NewPartitions,
                                   NewTopic, ResourceType)

from kafka import LIMIT_S, equal, eventually, refused


def only(answers):
    """The one result of an answer of futures."""
    (future,) = answers.values()
    return future.result(LIMIT_S)


def listed(kafka):
    return kafka.admin.list_topics(timeout=LIMIT_S).topics


def lifecycle(kafka):
    kafka.create("lifecycle", 4, retention_ms=100_000)
    first = only(kafka.admin.describe_topics(TopicCollection(["lifecycle"])))
    equal((first.name, len(first.partitions), first.is_internal), ("lifecycle", 4, False), "description")
    for partition in first.partitions:
        ids = list(range(1, kafka.brokers + 1))
        nodes = (sorted(n.id for n in partition.replicas), sorted(n.id for n in partition.isr))
        equal(nodes, (ids, ids), f"replicas and ISR of partition {partition.id}")
        equal(partition.leader.id in ids, True, f"partition {partition.id} has a leader")
    equal("lifecycle" in listed(kafka), True, "it is listed")
    kafka.produce("lifecycle", [{"value": b"old"}])
    only(kafka.admin.delete_topics(["lifecycle"]))
    eventually("it is gone", lambda: "lifecycle" not in listed(kafka))
    refused("describing a deleted topic", KafkaError.UNKNOWN_TOPIC_OR_PART,
            lambda: only(kafka.admin.describe_topics(TopicCollection(["lifecycle"]))))
    refused("deleting it again", KafkaError.UNKNOWN_TOPIC_OR_PART,
            lambda: only(kafka.admin.delete_topics(["lifecycle"])))
    kafka.create("lifecycle", 2)
    second = only(kafka.admin.describe_topics(TopicCollection(["lifecycle"])))
    equal(str(second.topic_id) != str(first.topic_id), True, "the new topic has an id of its own")
    equal(len(second.partitions), 2, "partitions of the new topic")
    kafka.produce("lifecycle", [{"value": b"new"}])
    equal([m.value() for m in kafka.read("lifecycle")], [b"new"], "values of the new topic")


def exists(kafka):
    kafka.create("exists")
    refused("a second creation", KafkaError.TOPIC_ALREADY_EXISTS, lambda: kafka.create("exists"))


def invalid_name(kafka):
    for name in ("a b", "a/b", ".", "..", "x" * 250):
        refused(f"topic {name!r}", KafkaError.TOPIC_EXCEPTION, lambda: kafka.create(name))
    refused("0 partitions", KafkaError.INVALID_PARTITIONS, lambda: kafka.create("no-partitions", 0))
    refused("more replicas than brokers", KafkaError.INVALID_REPLICATION_FACTOR,
            lambda: only(kafka.admin.create_topics([NewTopic("too-many-replicas", 1, kafka.brokers + 1)])))
    only(kafka.admin.create_topics([NewTopic("only-validated", 1, 1)], validate_only=True))
    equal("only-validated" in listed(kafka), False, "a validation creates nothing")


def add_partitions(kafka):
    kafka.create("add-partitions", 2)
    only(kafka.admin.create_partitions([NewPartitions("add-partitions", 5)]))
    eventually("five partitions", lambda: len(listed(kafka)["add-partitions"].partitions) == 5)
    kafka.produce("add-partitions", [{"value": b"v", "partition": 4}])
    equal([m.value() for m in kafka.read("add-partitions", (4,))], [b"v"], "values of partition 4")
    refused("fewer", KafkaError.INVALID_PARTITIONS,
            lambda: only(kafka.admin.create_partitions([NewPartitions("add-partitions", 3)])))


def describe(kafka, kind, name):
    return only(kafka.admin.describe_configs([ConfigResource(kind, name)]))


def incremental(kafka, kind, name, changes, **options):
    """`changes` maps a key to a value to set, or to None to delete it."""
    entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.DELETE if value is None
                           else AlterConfigOpType.SET) for key, value in changes.items()]
    resource = ConfigResource(kind, name, incremental_configs=entries)
    return only(kafka.admin.incremental_alter_configs([resource], **options))


def topic_configs(kafka):
    topic = ("topic-configs", ResourceType.TOPIC)
    kafka.create("topic-configs", retention_ms=100_000)

    def entry(key):
        found = describe(kafka, topic[1], topic[0])[key]
        return found.value, ConfigSource(found.source)

    dynamic = ConfigSource.DYNAMIC_TOPIC_CONFIG
    equal(entry("retention.ms"), ("100000", dynamic), "retention.ms as created")
    equal(entry("max.message.bytes"), ("1048588", ConfigSource.DEFAULT_CONFIG), "max.message.bytes at first")
    incremental(kafka, topic[1], topic[0], {"max.message.bytes": "500"}, validate_only=True)
    equal(entry("max.message.bytes")[0], "1048588", "after a validation")
    incremental(kafka, topic[1], topic[0], {"max.message.bytes": "500", "cleanup.policy": "compact,delete"})
    eventually("the change is seen", lambda: entry("max.message.bytes") == ("500", dynamic))
    equal(entry("retention.ms"), ("100000", dynamic), "an override that was not named")
    refused("1,000 bytes", KafkaError.MSG_SIZE_TOO_LARGE,
            lambda: kafka.produce("topic-configs", [{"key": b"k", "value": b"x" * 1000}]))
    entries = [ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.SUBTRACT)]
    only(kafka.admin.incremental_alter_configs([ConfigResource(topic[1], topic[0], incremental_configs=entries)]))
    eventually("the list is shorter", lambda: entry("cleanup.policy")[0] == "delete")
    incremental(kafka, topic[1], topic[0], {"max.message.bytes": None})
    eventually("the change is undone",
               lambda: entry("max.message.bytes") == ("1048588", ConfigSource.DEFAULT_CONFIG))
    kafka.produce("topic-configs", [{"value": b"x" * 1000}])


def topic_configs_legacy(kafka):
    kafka.create("legacy", retention_ms=100_000, max_message_bytes=5000)
    change = ConfigResource(ResourceType.TOPIC, "legacy", set_config={"segment.bytes": "2000000"})
    only(kafka.admin.alter_configs([change]))

    def overrides():
        found = describe(kafka, ResourceType.TOPIC, "legacy").items()
        return {key: e.value for key, e in found if ConfigSource(e.source) == ConfigSource.DYNAMIC_TOPIC_CONFIG}

    eventually("the set is replaced", lambda: overrides() == {"segment.bytes": "2000000"})


def bad_config(kafka):
    bad = KafkaError.INVALID_CONFIG
    refused("an unknown key", bad, lambda: kafka.create("bad-config-1", no_such_key="1"))
    refused("a word for a number", bad, lambda: kafka.create("bad-config-2", retention_ms="soon"))
    refused("an unknown policy", bad, lambda: kafka.create("bad-config-3", cleanup_policy="keep"))
    refused("a size below the range", bad, lambda: kafka.create("bad-config-4", max_message_bytes=-1))
    kafka.create("bad-config")
    for changes in ({"no.such.key": "1"}, {"retention.ms": "soon"}, {"compression.type": "rar"}):
        refused(f"{changes}", bad, lambda: incremental(kafka, ResourceType.TOPIC, "bad-config", changes))
    refused("configs of no topic", KafkaError.UNKNOWN_TOPIC_OR_PART,
            lambda: incremental(kafka, ResourceType.TOPIC, "nowhere", {"retention.ms": "1"}))
    refused("describing no topic", KafkaError.UNKNOWN_TOPIC_OR_PART,
            lambda: describe(kafka, ResourceType.TOPIC, "nowhere"))
    equal({"bad-config-1", "bad-config-2", "bad-config-3", "bad-config-4"} & set(listed(kafka)), set(), "created")


def broker_configs(kafka):
    found = describe(kafka, ResourceType.BROKER, "1")
    for key, value in {"node.id": "1", "num.partitions": "12", "process.roles": "broker,controller"}.items():
        equal((found[key].value, ConfigSource(found[key].source)), (value, ConfigSource.STATIC_BROKER_CONFIG), key)
    equal((found["node.id"].is_read_only, found["log.retention.ms"].is_read_only), (True, False), "read-only flags")

    def entry(key):
        e = describe(kafka, ResourceType.BROKER, "1")[key]
        return e.value, ConfigSource(e.source)

    incremental(kafka, ResourceType.BROKER, "1", {"log.retention.ms": "7200000"})
    eventually("the change is seen",
               lambda: entry("log.retention.ms") == ("7200000", ConfigSource.DYNAMIC_BROKER_CONFIG))
    incremental(kafka, ResourceType.BROKER, "1", {"log.retention.ms": None})
    eventually("the change is undone", lambda: entry("log.retention.ms") == (None, ConfigSource.DEFAULT_CONFIG))
    refused("a read-only key", KafkaError.INVALID_REQUEST,
            lambda: incremental(kafka, ResourceType.BROKER, "1", {"log.dirs": "/elsewhere"}))


def cluster(kafka):
    found = kafka.admin.describe_cluster().result(LIMIT_S)
    host, port = kafka.bootstrap.split(",")[0].split(":")
    nodes = sorted((n.id, n.host, n.port) for n in found.nodes)
    equal([id for id, _, _ in nodes], list(range(1, kafka.brokers + 1)), "ids")
    equal(nodes[0], (1, host, int(port)), "broker 1")
    equal(found.controller.id in range(1, kafka.brokers + 1), True, "a controller")
    equal(bool(found.cluster_id), True, "there is a cluster id")
    equal(kafka.admin.list_topics(timeout=LIMIT_S).cluster_id, found.cluster_id, "cluster id by Metadata")


def delete_records(kafka):
    kafka.create("delete-records")
    kafka.produce("delete-records", [{"value": str(i).encode()} for i in range(100)])

    def delete(before):
        return only(kafka.admin.delete_records([TopicPartition("delete-records", 0, before)])).low_watermark

    equal(delete(40), 40, "low watermark")
    equal(kafka.bounds("delete-records"), (40, 100), "bounds")
    equal([m.offset() for m in kafka.read("delete-records", start=40)], list(range(40, 100)), "offsets left")
    try:
        kafka.read("delete-records", start=39)
        raise AssertionError("a deleted offset can be read")
    except KafkaException:
        pass
    refused("beyond the end", KafkaError.OFFSET_OUT_OF_RANGE, lambda: delete(101))
    equal(delete(OFFSET_END), 100, "low watermark after deleting all")
    equal(kafka.bounds("delete-records"), (100, 100), "bounds of the empty log")


SCENARIOS = {
    "topic-lifecycle": lifecycle,
    "topic-exists": exists,
    "invalid-topic-name": invalid_name,
    "add-partitions": add_partitions,
    "topic-configs": topic_configs,
    "topic-configs-legacy": topic_configs_legacy,
    "bad-config": bad_config,
    "broker-configs": broker_configs,
    "cluster": cluster,
    "delete-records": delete_records,
}
