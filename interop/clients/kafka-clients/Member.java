import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Collectors;

import com.fasterxml.jackson.databind.JsonNode;

import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.serialization.StringDeserializer;

/** A member of a group that tells what happens to it. */
class Member {
    static void run(JsonNode wanted) throws Exception {
        AtomicBoolean leave = new AtomicBoolean();
        Thread watch = new Thread(() -> {
            try {
                while (System.in.read() >= 0) { }
            } catch (java.io.IOException e) {
                // Gone is gone.
            }
            leave.set(true);
        });
        watch.setDaemon(true);
        watch.start();
        Properties config = new Properties();
        config.put("bootstrap.servers", wanted.get("bootstrap").asText());
        config.put("group.id", wanted.get("group").asText());
        if (!wanted.get("instance").isNull()) {
            config.put("group.instance.id", wanted.get("instance").asText());
        }
        config.put("session.timeout.ms", wanted.get("session_timeout_ms").asText());
        config.put("heartbeat.interval.ms", "300");
        config.put("enable.auto.commit", "false");
        config.put("auto.offset.reset", "earliest");
        config.put("fetch.max.wait.ms", "50");
        config.put("partition.assignment.strategy", wanted.get("cooperative").asBoolean()
            ? CooperativeStickyAssignor.class.getName() : RangeAssignor.class.getName());
        try (KafkaConsumer<String, String> consumer =
                new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(wanted.get("topic").asText()), new Told());
            while (!leave.get()) {
                ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(100));
                StringBuilder lines = new StringBuilder();
                for (ConsumerRecord<String, String> record : records) {
                    lines.append("record ").append(record.partition()).append(' ').append(record.offset()).append(' ')
                        .append(record.value()).append('\n');
                }
                System.out.print(lines);
                System.out.flush();
                if (!records.isEmpty()) {
                    try {
                        consumer.commitSync();
                    } catch (RebalanceInProgressException | CommitFailedException e) {
                        // A rebalance was faster: the next poll takes part in it, and what is not committed is read again.
                    }
                }
            }
        }
        System.out.println("left");
    }

    private static class Told implements ConsumerRebalanceListener {
        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            say("assigned", partitions);
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            say("revoked", partitions);
        }

        private static void say(String word, Collection<TopicPartition> partitions) {
            System.out.println(word + " " + partitions.stream().map(p -> String.valueOf(p.partition()))
                .collect(Collectors.joining(",")));
            System.out.flush();
        }
    }
}
