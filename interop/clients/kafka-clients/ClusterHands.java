import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

import com.fasterxml.jackson.databind.JsonNode;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.DescribeClusterOptions;
import org.apache.kafka.clients.admin.FeatureMetadata;
import org.apache.kafka.clients.admin.FinalizedVersionRange;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.protocol.Errors;

/** How the Java client is called for each operation of interop/src/cluster_hands.rs. */
class ClusterHands {
    private static final long LIMIT_S = 40;

    private final Admin admin;

    ClusterHands(Admin admin) {
        this.admin = admin;
    }

    Object carryOut(JsonNode asked) throws Exception {
        String topic = asked.path("topic").asText();
        switch (asked.get("op").asText()) {
            case "create_assigned": return create(topic, asked.get("assignments"));
            case "registered": return registered();
            case "features": return features();
            case "elect": return elect(topic, asked.get("partitions"));
            case "reassign":
                return reassign(new TopicPartition(topic, asked.get("partition").asInt()), asked.get("replicas"));
            case "reassignments": return reassignments(topic);
            case "unregister": return wait(admin.unregisterBroker(asked.get("broker").asInt()).all());
            default: throw new IllegalArgumentException(asked.get("op").asText());
        }
    }

    private static <T> T wait(Future<T> future) throws Exception {
        return future.get(LIMIT_S, TimeUnit.SECONDS);
    }

    private static List<Integer> ids(JsonNode ids) {
        List<Integer> list = new ArrayList<>();
        ids.forEach(id -> list.add(id.asInt()));
        return list;
    }

    private Object create(String topic, JsonNode assignments) throws Exception {
        Map<Integer, List<Integer>> replicas = new HashMap<>();
        assignments.forEach(of -> replicas.put(replicas.size(), ids(of)));
        return wait(admin.createTopics(List.of(new NewTopic(topic, replicas))).all());
    }

    private Object registered() throws Exception {
        DescribeClusterOptions options = new DescribeClusterOptions().includeFencedBrokers(true);
        return wait(admin.describeCluster(options).nodes()).stream().map(Node::id).collect(Collectors.toList());
    }

    private Object features() throws Exception {
        FeatureMetadata features = wait(admin.describeFeatures().featureMetadata());
        Map<String, Object> told = new HashMap<>();
        features.supportedFeatures().forEach((name, supported) -> {
            FinalizedVersionRange finalized = features.finalizedFeatures().get(name);
            int level = finalized == null ? 0 : finalized.maxVersionLevel();
            told.put(name, Map.of("level", level, "min", supported.minVersion(), "max", supported.maxVersion()));
        });
        return told;
    }

    private Object elect(String topic, JsonNode partitions) throws Exception {
        Set<TopicPartition> wanted = null;
        if (!partitions.isNull()) {
            wanted = new HashSet<>();
            for (JsonNode partition : partitions) {
                wanted.add(new TopicPartition(topic, partition.asInt()));
            }
        }
        Map<Integer, Integer> told = new HashMap<>();
        wait(admin.electLeaders(ElectionType.PREFERRED, wanted).partitions()).forEach((where, error) -> {
            if (where.topic().equals(topic)) {
                told.put(where.partition(), (int) error.map(Errors::forException).orElse(Errors.NONE).code());
            }
        });
        return told;
    }

    private Object reassign(TopicPartition where, JsonNode replicas) throws Exception {
        Optional<NewPartitionReassignment> wanted =
            replicas.isNull() ? Optional.empty() : Optional.of(new NewPartitionReassignment(ids(replicas)));
        return wait(admin.alterPartitionReassignments(Map.of(where, wanted)).all());
    }

    private Object reassignments(String topic) throws Exception {
        List<Object> moving = new ArrayList<>();
        wait(admin.listPartitionReassignments().reassignments()).forEach((where, how) -> {
            if (where.topic().equals(topic)) {
                moving.add(Map.of("id", where.partition(), "replicas", how.replicas(), "adding", how.addingReplicas(),
                    "removing", how.removingReplicas()));
            }
        });
        return moving;
    }
}
