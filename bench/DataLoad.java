import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;

import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.LongSerializer;

/**
 * Writes and reads without a pause: DataLoad BOOTSTRAP TOPIC PARTITIONS PER_SECOND. One thread produces numbers, another one reads them in a
 * group, both with the clients' defaults. Stops when standard input ends, waits for what is under way, and prints one line of
 * JSON: how much was answered, what failed, the longest times without an answer, and what of that acknowledged was not read, or
 * is there twice. What the client itself tries again is no failure.
 */
public class DataLoad {
    private static final long END_NS = 60_000_000_000L;
    private static final AtomicBoolean stopped = new AtomicBoolean(), flushed = new AtomicBoolean();

    public static void main(String[] args) throws Exception {
        int partitions = Integer.parseInt(args[2]);
        Seen produced = new Seen(), consumed = new Seen();
        Set<Long> acked = ConcurrentHashMap.newKeySet();
        Reader reader = new Reader(args[0], args[1], partitions, consumed, acked);
        Thread writing = new Thread(() -> write(args[0], args[1], partitions, Long.parseLong(args[3]), produced, acked));
        writing.start();
        reader.start();
        System.out.println("ready");
        while (System.in.read() != -1) { }
        stopped.set(true);
        writing.join();
        flushed.set(true);
        reader.join();
        System.out.println("{\"produce\": {" + produced + "}, \"consume\": {" + consumed + ", \"missing\": " + reader.missing()
            + ", \"doubled\": " + reader.doubled + ", \"reordered\": " + reader.reordered + "}}");
    }

    private static void write(String bootstrap, String topic, int partitions, long perSecond, Seen seen, Set<Long> acked) {
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap);
        try (var producer = new KafkaProducer<>(config, new LongSerializer(), new LongSerializer())) {
            long began = System.nanoTime();
            for (long number = 0; !stopped.get(); number++) {
                long sent = number;
                producer.send(new ProducerRecord<>(topic, (int) (number % partitions), null, number), (metadata, failed) -> {
                    if (failed == null) {
                        acked.add(sent);
                        seen.answer(1);
                    } else {
                        seen.fail(failed);
                    }
                });
                long early = began + number * 1_000_000_000L / perSecond - System.nanoTime();
                if (early > 0) {
                    Thread.sleep(early / 1_000_000, (int) (early % 1_000_000));
                }
            }
            producer.flush();
        } catch (Exception failed) {
            seen.fail(failed);
        }
        seen.end();
    }

    /** What became of one kind of requests. */
    private static class Seen {
        private final Map<String, Long> errors = new TreeMap<>();
        private long answered, longestNs, last;

        synchronized void answer(int count) {
            answered += count;
            end();
        }

        synchronized void end() {
            long now = System.nanoTime();
            // What it takes until the first answer is the client's start.
            longestNs = last == 0 ? 0 : Math.max(longestNs, now - last);
            last = now;
        }

        synchronized void fail(Exception why) {
            System.err.println("DataLoad: " + why);
            errors.merge(why.getClass().getSimpleName(), 1L, Long::sum);
        }

        @Override
        public synchronized String toString() {
            List<String> counts = new ArrayList<>();
            errors.forEach((what, count) -> counts.add("\"" + what + "\": " + count));
            return "\"answered\": " + answered + ", \"longest_ms\": " + longestNs / 1_000_000 + ", \"errors\": {"
                + String.join(", ", counts) + "}";
        }
    }

    /** A member of a group, alone in it. It may be given again what it had not committed, which is the same as before. */
    private static class Reader extends Thread {
        private final Map<String, Object> config;
        private final String topic;
        private final List<List<Long>> found = new ArrayList<>();
        private final Set<Long> numbers = new HashSet<>(), acked;
        private final Seen seen;
        private long doubled, reordered;

        Reader(String bootstrap, String topic, int partitions, Seen seen, Set<Long> acked) {
            config = Map.of("bootstrap.servers", bootstrap, "group.id", topic, "auto.offset.reset", "earliest");
            this.topic = topic;
            this.seen = seen;
            this.acked = acked;
            for (int i = 0; i < partitions; i++) {
                found.add(new ArrayList<>());
            }
        }

        @Override
        public void run() {
            try (var consumer = new KafkaConsumer<>(config, new LongDeserializer(), new LongDeserializer())) {
                consumer.subscribe(List.of(topic));
                long until = Long.MAX_VALUE;
                while (!flushed.get() || missing() > 0 && System.nanoTime() < until) {
                    if (flushed.get() && until == Long.MAX_VALUE) {
                        until = System.nanoTime() + END_NS;
                    }
                    var records = consumer.poll(Duration.ofMillis(100));
                    records.forEach(this::see);
                    if (!records.isEmpty()) {
                        seen.answer(records.count());
                    }
                }
            } catch (Exception failed) {
                seen.fail(failed);
            }
        }

        private void see(ConsumerRecord<Long, Long> record) {
            List<Long> before = found.get(record.partition());
            if (record.offset() < before.size()) {
                if (!before.get((int) record.offset()).equals(record.value())) {
                    seen.fail(new IllegalStateException("another record than before"));
                }
                return;
            }
            if (record.offset() > before.size()) {
                seen.fail(new IllegalStateException("offsets were skipped"));
                while (before.size() < record.offset()) {
                    before.add(-1L);
                }
            }
            doubled += numbers.add(record.value()) ? 0 : 1;
            reordered += before.isEmpty() || before.get(before.size() - 1) < record.value() ? 0 : 1;
            before.add(record.value());
        }

        private long missing() {
            return acked.stream().filter(number -> !numbers.contains(number)).count();
        }
    }
}
