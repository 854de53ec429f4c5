"""How confluent-kafka is called for the operations of interop/src/hands.rs that scenarios about groups need."""
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from kafka import LIMIT_S
from operations import decoded, encoded


def code_of(error):
    """Kafka's error code; librdkafka's own are below zero."""
    if isinstance(error, KafkaException) and error.args[0].code() > 0:
        return error.args[0].code()
    return None


def word(state):
    """Kafka's word for a group's state."""
    return "".join(part.title() for part in state.name.split("_"))


def only(futures):
    (future,) = futures.values()
    return future.result(LIMIT_S)


class Hands:
    def __init__(self, kafka):
        self.kafka = kafka

    def create(self, topic, partitions, replicas, configs):
        self.kafka.create(topic, partitions, **configs)

    def produce(self, topic, records, bootstrap, acks, codec, idempotent, max_bytes):
        sent = [{"partition": r["partition"], "key": decoded(r["key"]), "value": decoded(r["value"]),
                 "timestamp": r["timestamp"] or 0} for r in records]
        return self.kafka.produce(topic, sent, bootstrap_servers=bootstrap, acks=acks, compression_type=codec,
                                  enable_idempotence=idempotent, message_max_bytes=max_bytes,
                                  reconnect_backoff_max_ms=500)

    def read(self, topic, partition, **place):
        return [{"offset": m.offset(), "timestamp": m.timestamp()[1], "key": encoded(m.key()),
                 "value": encoded(m.value()), "headers": []}
                for m in self.kafka.read(topic, (partition,), place["from"])]

    def offsets(self, topic, partitions, at):
        return [self.kafka.bounds(topic, partition)[1 if at == "latest" else 0] for partition in partitions]

    def commit(self, group, topic, offsets, metadata):
        consumer = self.kafka.consumer(group_id=group)
        try:
            places = [TopicPartition(topic, p, offset, metadata) for p, offset in offsets]
            consumer.assign(places)
            consumer.commit(offsets=places, asynchronous=False)
        finally:
            consumer.close()

    def committed(self, group, topic, partitions):
        places = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, p) for p in range(partitions)])
        # Scenarios ask this also after the broker has ended and come back. librdkafka 2.16's admin client may then never
        # answer what is for a coordinator, and abort the process at the next lost connection (its issues 3663 and 4605),
        # so each question has a client that has not seen the end.
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap})
        found = only(admin.list_consumer_group_offsets([places], request_timeout=10)).topic_partitions
        return [(p.partition, p.offset, p.metadata) for p in found]

    def groups(self):
        found = self.kafka.admin.list_consumer_groups().result(LIMIT_S).valid
        return [{"group": g.group_id, "state": word(g.state),
                 "protocol_type": "" if g.is_simple_consumer_group else "consumer"} for g in found]

    def describe_group(self, group):
        found = only(self.kafka.admin.describe_consumer_groups([group]))
        members = [{"id": m.member_id, "host": m.host,
                    "partitions": [p.partition for p in m.assignment.topic_partitions]} for m in found.members]
        return {"state": word(found.state), "protocol": found.partition_assignor, "members": members}

    def delete_group(self, group):
        only(self.kafka.admin.delete_consumer_groups([group]))

    def alter_group_offsets(self, group, topic, offsets):
        places = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, p, offset) for p, offset in offsets])
        found = only(self.kafka.admin.alter_consumer_group_offsets([places])).topic_partitions
        for place in found:
            if place.error:
                raise KafkaException(place.error)
