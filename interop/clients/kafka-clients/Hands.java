import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

import com.fasterxml.jackson.databind.JsonNode;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** How the Java client is called for each operation of interop/src/hands.rs. */
class Hands implements AutoCloseable {
    private static final long LIMIT_S = 40;

    private final String bootstrap;
    private final Admin admin;

    Hands(String bootstrap) {
        this.bootstrap = bootstrap;
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        this.admin = Admin.create(config);
    }

    @Override
    public void close() {
        admin.close();
    }

    Object carryOut(JsonNode asked) throws Exception {
        String topic = asked.path("topic").asText();
        String group = asked.path("group").asText();
        switch (asked.get("op").asText()) {
            case "create": return create(topic, asked);
            case "delete": return wait(admin.deleteTopics(List.of(topic)).all());
            case "topics": return wait(admin.listTopics().names());
            case "describe": return describe(topic);
            case "add_partitions":
                return wait(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(asked.get("count").asInt()))).all());
            case "delete_records": return deleteRecords(topic, asked);
            case "configs": return configs(resource(asked));
            case "alter_configs": return alterConfigs(resource(asked), asked.get("changes"));
            case "cluster": return cluster();
            case "produce": return produce(topic, asked);
            case "read": return read(new TopicPartition(topic, asked.get("partition").asInt()), asked.get("from").asLong());
            case "offsets": return offsets(topic, asked);
            case "commit": return commit(group, positions(topic, asked));
            case "committed": return committed(group, topic, asked.get("partitions").asInt());
            case "groups": return groups();
            case "describe_group": return describeGroup(group);
            case "delete_group": return wait(admin.deleteConsumerGroups(List.of(group)).all());
            case "delete_group_offsets": return deleteGroupOffsets(group, topic, asked.get("partitions"));
            case "alter_group_offsets": return wait(admin.alterConsumerGroupOffsets(group, positions(topic, asked)).all());
            default: return new ClusterHands(admin).carryOut(asked);
        }
    }

    private static <T> T wait(Future<T> future) throws Exception {
        return future.get(LIMIT_S, TimeUnit.SECONDS);
    }

    private Object create(String topic, JsonNode asked) throws Exception {
        Map<String, String> configs = new HashMap<>();
        asked.get("configs").fields().forEachRemaining(field -> configs.put(field.getKey(), field.getValue().asText()));
        NewTopic created = new NewTopic(topic, asked.get("partitions").asInt(), (short) asked.get("replicas").asInt());
        return wait(admin.createTopics(List.of(created.configs(configs))).all());
    }

    private Object describe(String topic) throws Exception {
        List<Object> partitions = new ArrayList<>();
        wait(admin.describeTopics(List.of(topic)).allTopicNames()).get(topic).partitions().forEach(p -> partitions.add(
            Map.of("id", p.partition(), "leader", p.leader() == null ? -1 : p.leader().id(), "replicas", ids(p.replicas()),
                "isr", ids(p.isr()))));
        return partitions;
    }

    private static List<Integer> ids(List<Node> nodes) {
        return nodes.stream().map(Node::id).collect(Collectors.toList());
    }

    private Object deleteRecords(String topic, JsonNode asked) throws Exception {
        TopicPartition where = new TopicPartition(topic, asked.get("partition").asInt());
        RecordsToDelete before = RecordsToDelete.beforeOffset(asked.get("before").asLong());
        return wait(admin.deleteRecords(Map.of(where, before)).lowWatermarks().get(where)).lowWatermark();
    }

    private static ConfigResource resource(JsonNode asked) {
        ConfigResource.Type type = ConfigResource.Type.valueOf(asked.get("type").asText().toUpperCase());
        return new ConfigResource(type, asked.get("name").asText());
    }

    private Object configs(ConfigResource resource) throws Exception {
        Map<String, String> values = new HashMap<>();
        for (ConfigEntry entry : wait(admin.describeConfigs(List.of(resource)).all()).get(resource).entries()) {
            values.put(entry.name(), entry.value());
        }
        return values;
    }

    private Object alterConfigs(ConfigResource resource, JsonNode changes) throws Exception {
        Collection<AlterConfigOp> operations = new ArrayList<>();
        changes.fields().forEachRemaining(change -> {
            boolean away = change.getValue().isNull();
            ConfigEntry entry = new ConfigEntry(change.getKey(), away ? "" : change.getValue().asText());
            operations.add(new AlterConfigOp(entry, away ? AlterConfigOp.OpType.DELETE : AlterConfigOp.OpType.SET));
        });
        return wait(admin.incrementalAlterConfigs(Map.of(resource, operations)).all());
    }

    private Object cluster() throws Exception {
        List<String> brokers = new ArrayList<>();
        for (Node node : wait(admin.describeCluster().nodes())) {
            brokers.add(node.id() + "@" + node.host() + ":" + node.port());
        }
        return Map.of("brokers", brokers, "controller", wait(admin.describeCluster().controller()).id());
    }

    private static byte[] bytes(JsonNode text) {
        return text.isNull() ? null : Base64.getDecoder().decode(text.asText());
    }

    private static String text(byte[] bytes) {
        return bytes == null ? null : Base64.getEncoder().encodeToString(bytes);
    }

    private Object produce(String topic, JsonNode asked) throws Exception {
        Properties config = new Properties();
        config.put("bootstrap.servers", asked.get("bootstrap").asText());
        config.put("acks", asked.get("acks").asText());
        config.put("compression.type", asked.get("codec").asText());
        config.put("enable.idempotence", asked.get("idempotent").asText());
        config.put("max.request.size", asked.get("max_bytes").asInt() + 1000);
        config.put("linger.ms", "2");
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (JsonNode r : asked.get("records")) {
                List<Header> headers = new ArrayList<>();
                r.get("headers").forEach(h -> headers.add(new RecordHeader(h.get(0).asText(), bytes(h.get(1)))));
                int partition = r.get("partition").asInt();
                JsonNode timestamp = r.get("timestamp");
                sent.add(producer.send(new ProducerRecord<>(topic, partition < 0 ? null : partition,
                    timestamp.isNull() ? null : timestamp.asLong(), bytes(r.get("key")), bytes(r.get("value")), headers)));
            }
            List<long[]> places = new ArrayList<>();
            for (Future<RecordMetadata> each : sent) {
                RecordMetadata place = wait(each);
                places.add(new long[] {place.partition(), place.offset()});
            }
            return places;
        }
    }

    private KafkaConsumer<byte[], byte[]> consumer(String group) {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("enable.auto.commit", "false");
        config.put("auto.offset.reset", "none");
        config.put("fetch.max.wait.ms", "50");
        config.put("max.poll.records", "100000");
        if (group != null) {
            config.put("group.id", group);
        }
        return new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private Object read(TopicPartition where, long from) throws Exception {
        List<Object> records = new ArrayList<>();
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(null)) {
            long end = consumer.endOffsets(List.of(where)).get(where);
            consumer.assign(List.of(where));
            consumer.seek(where, from);
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_S);
            // Beyond the end there is an error to be had.
            while (consumer.position(where) < end || from > end) {
                for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofMillis(200))) {
                    List<List<String>> headers = new ArrayList<>();
                    r.headers().forEach(h -> headers.add(java.util.Arrays.asList(h.key(), text(h.value()))));
                    Map<String, Object> record = new HashMap<>();
                    record.put("offset", r.offset());
                    record.put("timestamp", r.timestamp());
                    record.put("key", text(r.key()));
                    record.put("value", text(r.value()));
                    record.put("headers", headers);
                    records.add(record);
                }
                if (System.nanoTime() > deadline) {
                    throw new IllegalStateException(records.size() + " records after " + LIMIT_S + " s");
                }
            }
        }
        return records;
    }

    private Object offsets(String topic, JsonNode asked) throws Exception {
        JsonNode at = asked.get("at");
        OffsetSpec spec = at.asText().equals("earliest") ? OffsetSpec.earliest()
            : at.asText().equals("latest") ? OffsetSpec.latest() : OffsetSpec.forTimestamp(at.asLong());
        Map<TopicPartition, OffsetSpec> wanted = new HashMap<>();
        asked.get("partitions").forEach(p -> wanted.put(new TopicPartition(topic, p.asInt()), spec));
        var found = wait(admin.listOffsets(wanted).all());
        List<Long> offsets = new ArrayList<>();
        for (JsonNode p : asked.get("partitions")) {
            long offset = found.get(new TopicPartition(topic, p.asInt())).offset();
            offsets.add(offset < 0 ? null : offset);
        }
        return offsets;
    }

    private static Map<TopicPartition, OffsetAndMetadata> positions(String topic, JsonNode asked) {
        Map<TopicPartition, OffsetAndMetadata> positions = new HashMap<>();
        String metadata = asked.path("metadata").asText();
        asked.get("offsets").forEach(pair -> positions.put(new TopicPartition(topic, pair.get(0).asInt()),
            new OffsetAndMetadata(pair.get(1).asLong(), Optional.empty(), metadata)));
        return positions;
    }

    private Object commit(String group, Map<TopicPartition, OffsetAndMetadata> positions) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(group)) {
            consumer.assign(positions.keySet());
            consumer.commitSync(positions);
        }
        return null;
    }

    private Object committed(String group, String topic, int partitions) throws Exception {
        var found = wait(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
        List<Object> committed = new ArrayList<>();
        for (int p = 0; p < partitions; p++) {
            OffsetAndMetadata position = found.get(new TopicPartition(topic, p));
            committed.add(position == null ? List.of(p, -1, "") : List.of(p, position.offset(), position.metadata()));
        }
        return committed;
    }

    private Object groups() throws Exception {
        return wait(admin.listGroups().all()).stream().map(g -> Map.of("group", g.groupId(), "protocol_type", g.protocol(),
            "state", g.groupState().map(Object::toString).orElse("none"))).collect(Collectors.toList());
    }

    private Object describeGroup(String group) throws Exception {
        ConsumerGroupDescription found = wait(admin.describeConsumerGroups(List.of(group)).all()).get(group);
        List<Object> members = new ArrayList<>();
        found.members().forEach(m -> members.add(Map.of("id", m.consumerId(), "host", m.host(), "partitions",
            m.assignment().topicPartitions().stream().map(TopicPartition::partition).collect(Collectors.toList()))));
        return Map.of("state", found.groupState().toString(), "protocol", found.partitionAssignor(), "members", members);
    }

    private Object deleteGroupOffsets(String group, String topic, JsonNode partitions) throws Exception {
        java.util.Set<TopicPartition> places = new java.util.HashSet<>();
        partitions.forEach(p -> places.add(new TopicPartition(topic, p.asInt())));
        var outcome = admin.deleteConsumerGroupOffsets(group, places);
        for (TopicPartition place : places) {
            wait(outcome.partitionResult(place));
        }
        return null;
    }
}
