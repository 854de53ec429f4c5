"""How kafka-python is called for each operation of interop/src/hands.rs."""
import re
import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors
from kafka.admin import ConfigResource, OffsetSpec
from kafka.structs import OffsetAndMetadata

from operations import NotOffered, Refused, decoded, encoded

LIMIT_S = 40


def checked(outcome):
    """Raises what an answer has in the place of success: an error's class, or the name of one."""
    kind = getattr(errors, outcome) if isinstance(outcome, str) else outcome
    if kind is not errors.NoError:
        raise kind()


class Patient:
    """The admin client, but waiting while no connection is ready, as after a broker's restart: then nothing was sent."""

    def __init__(self, admin):
        self.admin = admin

    def __getattr__(self, name):
        call = getattr(self.admin, name)

        def patiently(*arguments, **options):
            deadline = time.monotonic() + LIMIT_S
            while True:
                try:
                    return call(*arguments, **options)
                except errors.NodeNotReadyError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)

        return patiently


class Hands:
    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.admin = Patient(KafkaAdminClient(bootstrap_servers=bootstrap))

    def create(self, topic, partitions, replicas, configs):
        self.admin.create_topics(
            {topic: {"num_partitions": partitions, "replication_factor": replicas, "configs": configs}})

    def delete(self, topic):
        self.admin.delete_topics([topic])

    def topics(self):
        return self.admin.list_topics()

    def describe(self, topic):
        (found,) = self.admin.describe_topics([topic])
        if found["error_code"]:
            raise Refused(found["error_code"])
        return [{"id": p["partition_index"], "leader": p["leader_id"], "replicas": p["replica_nodes"],
                 "isr": p["isr_nodes"]} for p in found["partitions"]]

    def add_partitions(self, topic, count):
        self.admin.create_partitions({topic: count})

    def delete_records(self, topic, partition, before):
        where = TopicPartition(topic, partition)
        found = self.admin.delete_records({where: before})[where]
        return found["low_watermark"]

    def configs(self, type, name):
        found = self.admin.describe_configs([ConfigResource(type.upper(), name)], config_filter="all")
        return {key: entry["value"] for key, entry in found[type][name].items()}

    def alter_configs(self, type, name, changes):
        wanted = {key: ("SET", value) if value is not None else ("DELETE", None) for key, value in changes.items()}
        # The library knows the keys too; here the broker shall decide.
        found = self.admin.alter_configs([ConfigResource(type.upper(), name, wanted)], raise_on_unknown=False)
        outcome = found[type][name]
        if outcome != "OK":
            # It gives the error's text in the place of the error.
            raise Refused(int(re.match(r"\[Error (\d+)\]", outcome)[1]), outcome)

    def cluster(self):
        found = self.admin.describe_cluster()
        return {"brokers": [f"{b['broker_id']}@{b['host']}:{b['port']}" for b in found["brokers"]],
                "controller": found["controller_id"]}

    def produce(self, topic, records, bootstrap, acks, codec, idempotent, max_bytes):
        producer = KafkaProducer(
            bootstrap_servers=bootstrap, acks=acks if acks == "all" else int(acks), linger_ms=2,
            compression_type=None if codec == "none" else codec, enable_idempotence=idempotent,
            max_request_size=max_bytes + 1000)
        try:
            if any(value is None for r in records for _, value in r["headers"]):
                raise NotOffered
            futures = [producer.send(
                topic, key=decoded(r["key"]), value=decoded(r["value"]),
                partition=None if r["partition"] < 0 else r["partition"], timestamp_ms=r["timestamp"],
                headers=[(key, decoded(value)) for key, value in r["headers"]]) for r in records]
            found = [future.get(LIMIT_S) for future in futures]
            return [(f.partition, f.offset) for f in found]
        finally:
            producer.close(LIMIT_S)

    def consumer(self, **config):
        return KafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False, auto_offset_reset="none",
                             fetch_max_wait_ms=50, **config)

    def read(self, topic, partition, **place):
        where = TopicPartition(topic, partition)
        consumer = self.consumer()
        try:
            end = consumer.end_offsets([where])[where]
            consumer.assign([where])
            consumer.seek(where, place["from"])
            records, deadline = [], time.monotonic() + LIMIT_S
            # Beyond the end there is an error to be had.
            while consumer.position(where) < end or (place["from"] > end and time.monotonic() < deadline):
                for found in consumer.poll(200).values():
                    records += found
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{len(records)} records of {topic} after {LIMIT_S} s")
            return [{"offset": r.offset, "timestamp": r.timestamp, "key": encoded(r.key), "value": encoded(r.value),
                     "headers": [(key, encoded(value)) for key, value in r.headers]} for r in records]
        except errors.OffsetOutOfRangeError as error:
            raise Refused(1, str(error)) from error
        finally:
            consumer.close()

    def offsets(self, topic, partitions, at):
        spec = {"earliest": OffsetSpec.EARLIEST, "latest": OffsetSpec.LATEST}.get(at, at)
        places = [TopicPartition(topic, partition) for partition in partitions]
        found = self.admin.list_partition_offsets({place: spec for place in places})
        return [found[place].offset if found[place].offset >= 0 else None for place in places]

    def commit(self, group, topic, offsets, metadata):
        consumer = self.consumer(group_id=group)
        try:
            places = {TopicPartition(topic, p): OffsetAndMetadata(offset, metadata, -1) for p, offset in offsets}
            consumer.assign(list(places))
            consumer.commit(places)
        finally:
            consumer.close()

    def committed(self, group, topic, partitions):
        places = [TopicPartition(topic, partition) for partition in range(partitions)]
        found = self.admin.list_group_offsets({group: places})[group]
        return [(place.partition, found[place].offset, found[place].metadata) for place in places]

    def groups(self):
        return [{"group": g["group_id"], "protocol_type": g["protocol_type"], "state": g.get("group_state")}
                for g in self.admin.list_groups()]

    def describe_group(self, group):
        found = self.admin.describe_groups([group])[group]
        members = []
        for m in found["members"]:
            assigned = (m["member_assignment"] or {}).get("assigned_partitions", [])
            members.append({"id": m["member_id"], "host": m["client_host"],
                            "partitions": [p for topic in assigned for p in topic["partitions"]]})
        return {"state": found["group_state"], "protocol": found["protocol_data"], "members": members}

    def delete_group(self, group):
        outcome = self.admin.delete_groups([group])[group]
        if outcome != "OK":
            checked(outcome)

    def delete_group_offsets(self, group, topic, partitions):
        places = [TopicPartition(topic, partition) for partition in partitions]
        for outcome in self.admin.delete_group_offsets(group, places).values():
            checked(outcome)

    def alter_group_offsets(self, group, topic, offsets):
        places = {TopicPartition(topic, p): OffsetAndMetadata(offset, "", -1) for p, offset in offsets}
        for outcome in self.admin.alter_group_offsets(group, places).values():
            checked(outcome)
