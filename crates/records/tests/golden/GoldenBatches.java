// Writes the golden batches of this directory with Apache Kafka's own classes; see README.md.

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.DefaultRecordBatch;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.RecordBatch;

public class GoldenBatches {
    static final long BASE_MS = 1_700_000_000_000L;

    public static void main(String[] args) throws IOException {
        Path out = Path.of(args[0]);
        codec(out, "none", Compression.NONE, false);
        codec(out, "gzip", Compression.gzip().build(), true);
        codec(out, "gzip-level-9", Compression.gzip().level(9).build(), true);
        codec(out, "snappy", Compression.snappy().build(), true);
        codec(out, "lz4", Compression.lz4().build(), true);
        codec(out, "lz4-level-12", Compression.lz4().level(12).build(), true);
        codec(out, "zstd", Compression.zstd().build(), true);
        codec(out, "zstd-level-19", Compression.zstd().level(19).build(), true);

        MemoryRecordsBuilder appendTime = MemoryRecords.builder(ByteBuffer.allocate(1 << 20), RecordBatch.CURRENT_MAGIC_VALUE,
            Compression.NONE, TimestampType.LOG_APPEND_TIME, 100L, BASE_MS + 1000, RecordBatch.NO_PRODUCER_ID,
            RecordBatch.NO_PRODUCER_EPOCH, RecordBatch.NO_SEQUENCE, false, 7);
        appendTime.append(BASE_MS, bytes("k"), bytes("v"));
        appendTime.append(BASE_MS + 1, bytes("k"), bytes("w"));
        write(out, "log-append-time", appendTime.build());

        MemoryRecordsBuilder transactional = MemoryRecords.builder(ByteBuffer.allocate(1 << 20),
            RecordBatch.CURRENT_MAGIC_VALUE, Compression.NONE, TimestampType.CREATE_TIME, 0L, RecordBatch.NO_TIMESTAMP,
            4711L, (short) 3, Integer.MAX_VALUE - 1, true, RecordBatch.NO_PARTITION_LEADER_EPOCH);
        for (int i = 0; i < 3; i++)
            transactional.append(BASE_MS + i, bytes("k" + i), bytes("v" + i));
        write(out, "transactional", transactional.build());

        write(out, "commit-marker", MemoryRecords.withEndTransactionMarker(42L, BASE_MS, 9, 4711L, (short) 3,
            new EndTransactionMarker(ControlRecordType.COMMIT, 5)));

        ByteBuffer empty = ByteBuffer.allocate(DefaultRecordBatch.RECORD_BATCH_OVERHEAD);
        DefaultRecordBatch.writeEmptyHeader(empty, RecordBatch.CURRENT_MAGIC_VALUE, 4711L, (short) 3, 12, 50L, 59L, 8,
            TimestampType.CREATE_TIME, BASE_MS, true, false);
        empty.flip();
        write(out, "empty", MemoryRecords.readableRecords(empty));
    }

    static void codec(Path out, String name, Compression compression, boolean withLarge) throws IOException {
        MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(1 << 20), compression,
            TimestampType.CREATE_TIME, 0L);
        builder.append(BASE_MS, bytes("key"), bytes("value"));
        builder.append(BASE_MS + 500, null, bytes("no key"));
        builder.append(BASE_MS - 500, bytes("no value"), null, new Header[] {
            new RecordHeader("trace", bytes("1")), new RecordHeader("trace", (byte[]) null),
            new RecordHeader("", bytes("")), new RecordHeader("trace", bytes("1")), new RecordHeader("Größe", bytes("2"))});
        builder.append(BASE_MS, bytes(""), bytes(""));
        if (withLarge) {
            // More than one block of any codec.
            byte[] large = new byte[300_000];
            for (int i = 0; i < large.length; i++)
                large[i] = (byte) (i % 251);
            builder.append(BASE_MS + 1, null, large);
        }
        write(out, name, builder.build());
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static void write(Path out, String name, MemoryRecords records) throws IOException {
        ByteBuffer buffer = records.buffer().duplicate();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        Files.write(out.resolve(name + ".bin"), bytes);
    }
}
