import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/**
 * Administers a cluster without a pause: AdminLoad BOOTSTRAP PREFIX KEPT. One thread describes (the kept topics, their
 * configuration, the cluster), another one creates, configures and deletes topics of three replicas that begin with the prefix.
 * Stops when standard input ends, and prints one line of JSON: how much was answered, what failed, and the longest times
 * without an answer. What the client itself tries again is no failure.
 */
public class AdminLoad {
    private static final AtomicBoolean stopped = new AtomicBoolean();

    public static void main(String[] args) throws Exception {
        Properties config = new Properties();
        config.put("bootstrap.servers", args[0]);
        List<String> kept = List.of(args[2].split(","));
        try (Admin reads = Admin.create(config); Admin writes = Admin.create(config)) {
            Loop reading = new Loop(new Reads(reads, kept)), writing = new Loop(new Writes(writes, args[1], kept));
            reading.start();
            writing.start();
            System.out.println("ready");
            while (System.in.read() != -1) { }
            stopped.set(true);
            reading.join();
            writing.join();
            System.out.println("{\"reads\": " + reading + ", \"writes\": " + writing + "}");
        }
    }

    /** The next request of a kind. */
    private interface Work {
        void next(long number) throws Exception;
    }

    private static class Loop extends Thread {
        private final Work work;
        private final Map<String, Long> errors = new TreeMap<>();
        private long answered, repeated;
        private double longestMs;

        Loop(Work work) {
            this.work = work;
        }

        @Override
        public void run() {
            long last = System.nanoTime();
            for (long number = 0; !stopped.get(); number++) {
                try {
                    work.next(number);
                    answered++;
                } catch (ExecutionException failed) {
                    // The answer to a request may be lost with its connection: the client asks again, and it is done already.
                    Throwable why = failed.getCause();
                    boolean isDone = why instanceof TopicExistsException || why instanceof UnknownTopicOrPartitionException;
                    if (work instanceof Writes && isDone) {
                        repeated++;
                    } else {
                        System.err.println("AdminLoad: " + why);
                        errors.merge(why.getClass().getSimpleName(), 1L, Long::sum);
                        continue;
                    }
                } catch (Exception failed) {
                    errors.merge(failed.toString(), 1L, Long::sum);
                    continue;
                }
                long now = System.nanoTime();
                longestMs = Math.max(longestMs, (now - last) / 1e6);
                last = now;
            }
            // It may have stopped in the middle of a time without answers.
            longestMs = Math.max(longestMs, (System.nanoTime() - last) / 1e6);
        }

        @Override
        public String toString() {
            StringBuilder counts = new StringBuilder();
            errors.forEach((what, count) -> counts.append(counts.isEmpty() ? "" : ", ").append('"')
                .append(what.replace('"', '\'')).append("\": ").append(count));
            return "{\"answered\": " + answered + ", \"repeated\": " + repeated + ", \"lost\": 0, \"longest_ms\": "
                + (long) longestMs + ", \"errors\": {" + counts + "}}";
        }
    }

    private record Reads(Admin admin, List<String> kept) implements Work {
        @Override
        public void next(long number) throws Exception {
            String topic = kept.get((int) (number / 4 % kept.size()));
            switch ((int) (number % 4)) {
                case 0 -> admin.describeTopics(List.of(topic)).allTopicNames().get();
                case 1 -> admin.describeConfigs(List.of(new ConfigResource(ConfigResource.Type.TOPIC, topic))).all().get();
                case 2 -> admin.describeCluster().nodes().get();
                default -> {
                    if (!admin.listTopics().names().get().containsAll(kept)) {
                        throw new IllegalStateException("a topic is missing");
                    }
                }
            }
        }
    }

    private record Writes(Admin admin, String prefix, List<String> kept) implements Work {
        @Override
        public void next(long number) throws Exception {
            String topic = prefix + number / 3;
            switch ((int) (number % 3)) {
                case 0 -> admin.createTopics(List.of(new NewTopic(topic, 3, (short) 3))).all().get();
                case 1 -> {
                    String changed = kept.get((int) (number % kept.size()));
                    ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, changed);
                    ConfigEntry entry = new ConfigEntry("retention.ms", Long.toString(86_400_000 + number));
                    Collection<AlterConfigOp> set = List.of(new AlterConfigOp(entry, AlterConfigOp.OpType.SET));
                    admin.incrementalAlterConfigs(Map.of(resource, set)).all().get();
                }
                default -> admin.deleteTopics(List.of(topic)).all().get();
            }
        }
    }
}
