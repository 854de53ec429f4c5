import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;

import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Reads a whole topic by assigned partitions, without a group: AssignedConsumer BOOTSTRAP TOPIC [KEY=VALUE...].
 * For each line of standard input it reads once from beginning to end, and prints the records, the bytes of their values,
 * and the milliseconds that took.
 */
public class AssignedConsumer {
    public static void main(String[] args) throws Exception {
        Properties config = new Properties();
        config.put("bootstrap.servers", args[0]);
        config.put("enable.auto.commit", "false");
        for (int i = 2; i < args.length; i++) {
            String[] pair = args[i].split("=", 2);
            config.put(pair[0], pair[1]);
        }
        ByteArrayDeserializer bytes = new ByteArrayDeserializer();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(config, bytes, bytes)) {
            List<TopicPartition> partitions = consumer.partitionsFor(args[1]).stream()
                .map(partition -> new TopicPartition(args[1], partition.partition())).toList();
            consumer.assign(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            BufferedReader rounds = new BufferedReader(new InputStreamReader(System.in));
            while (rounds.readLine() != null) {
                read(consumer, ends);
            }
        }
    }

    private static void read(KafkaConsumer<byte[], byte[]> consumer, Map<TopicPartition, Long> ends) {
        consumer.seekToBeginning(ends.keySet());
        Map<TopicPartition, Long> starts = consumer.beginningOffsets(ends.keySet());
        long left = ends.entrySet().stream().mapToLong(end -> end.getValue() - starts.get(end.getKey())).sum();
        long records = 0;
        long size = 0;
        long started = System.nanoTime();
        while (records < left) {
            for (var record : consumer.poll(Duration.ofSeconds(1))) {
                records++;
                size += record.serializedValueSize();
            }
        }
        System.out.println(records + " " + size + " " + (System.nanoTime() - started) / 1_000_000);
        System.out.flush();
    }
}
