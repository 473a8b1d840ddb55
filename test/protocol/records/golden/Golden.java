import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.Scanner;

import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.utils.Utils;

/**
 * Record batches as Apache Kafka's Java client writes and reads them.
 *
 *   java -cp <kafka-clients, lz4-java, snappy-java, zstd-jni, slf4j-api> Golden.java write   prints java.json
 *   java -cp ...                                                         Golden.java read    describes base64 batches, one per line on stdin
 *
 * Values longer than 256 bytes are described by their SHA-256.
 */
public class Golden {
    static final long T0 = 1_700_000_000_000L;

    public static void main(String[] args) throws Exception {
        if (args[0].equals("read")) read();
        else write();
    }

    static void read() throws Exception {
        Scanner in = new Scanner(System.in);
        while (in.hasNextLine()) System.out.println(describe(null, Base64.getDecoder().decode(in.nextLine().trim())));
    }

    static void write() throws Exception {
        List<String> lines = new ArrayList<>();
        for (CompressionType type : List.of(CompressionType.NONE, CompressionType.GZIP, CompressionType.SNAPPY, CompressionType.LZ4, CompressionType.ZSTD)) {
            Compression compression = Compression.of(type).build();
            lines.add(describe(type.name + " create time", batch(compression, TimestampType.CREATE_TIME, false)));
            lines.add(describe(type.name + " log append time", batch(compression, TimestampType.LOG_APPEND_TIME, false)));
            if (type != CompressionType.NONE) lines.add(describe(type.name + " large", batch(compression, TimestampType.CREATE_TIME, true)));
        }
        lines.add(describe("idempotent with gaps", gaps(false)));
        lines.add(describe("transactional", gaps(true)));
        lines.add(describe("commit marker", bytes(MemoryRecords.withEndTransactionMarker(500, T0 + 5, 3, 4711, (short) 7, new EndTransactionMarker(ControlRecordType.COMMIT, 12)))));
        lines.add(describe("abort marker", bytes(MemoryRecords.withEndTransactionMarker(501, T0 + 6, 3, 4711, (short) 7, new EndTransactionMarker(ControlRecordType.ABORT, 12)))));
        lines.add(describe("no timestamps", noTimestamps()));
        System.out.println("[\n" + String.join(",\n", lines) + "\n]");
    }

    static byte[] batch(Compression compression, TimestampType type, boolean large) {
        MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(1024), RecordBatch.MAGIC_VALUE_V2, compression, type, 100, T0 + 99_999, 9);
        builder.append(T0, "key-0".getBytes(), "value-0".getBytes());
        builder.append(T0 + 1, (byte[]) null, "without key".getBytes());
        builder.append(T0 - 5_000, "without value".getBytes(), null);
        builder.append(T0 + 70_000_000_000L, new byte[0], new byte[0], new Header[] {
            new RecordHeader("a", "1".getBytes()), new RecordHeader("a", null), new RecordHeader("", new byte[0]), new RecordHeader("schlüssel", "ü".getBytes(StandardCharsets.UTF_8)),
        });
        builder.append(0, (byte[]) null, null);
        if (large) {
            byte[] ramp = new byte[150_000];
            for (int i = 0; i < ramp.length; i++) ramp[i] = (byte) (i / 1000);
            builder.append(T0 + 2, "large".getBytes(), ramp);
            byte[] noise = new byte[300];
            int state = 12345;
            for (int i = 0; i < noise.length; i++) { state = state * 1103515245 + 12345; noise[i] = (byte) (state >> 16); }
            builder.append(T0 + 3, "noise".getBytes(), noise);
        }
        return bytes(builder.build());
    }

    static byte[] gaps(boolean transactional) {
        MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(1024), RecordBatch.MAGIC_VALUE_V2, Compression.NONE, TimestampType.CREATE_TIME,
            7_000_000_000L, RecordBatch.NO_TIMESTAMP, 4711, (short) 7, 2_000_000_000, transactional, 3);
        builder.appendWithOffset(7_000_000_000L, T0, "a".getBytes(), "1".getBytes());
        builder.appendWithOffset(7_000_000_002L, T0, "b".getBytes(), "2".getBytes());
        builder.appendWithOffset(7_000_300_000L, T0, "c".getBytes(), "3".getBytes());
        return bytes(builder.build());
    }

    static byte[] noTimestamps() {
        MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(1024), Compression.NONE, TimestampType.CREATE_TIME, 0);
        builder.append(RecordBatch.NO_TIMESTAMP, (byte[]) null, "none".getBytes());
        builder.append(RecordBatch.NO_TIMESTAMP, (byte[]) null, "none either".getBytes());
        return bytes(builder.build());
    }

    static byte[] bytes(MemoryRecords records) {
        return Utils.toArray(records.buffer());
    }

    static String describe(String name, byte[] bytes) throws Exception {
        MutableRecordBatch batch = MemoryRecords.readableRecords(ByteBuffer.wrap(bytes)).batches().iterator().next();
        batch.ensureValid();
        List<String> records = new ArrayList<>();
        for (Record record : batch) records.add("    " + describe(record));
        return "{" + (name == null ? "" : "\"name\":\"" + name + "\",\n  \"base64\":\"" + Base64.getEncoder().encodeToString(bytes) + "\",\n  ")
            + "\"baseOffset\":" + batch.baseOffset() + ",\"lastOffset\":" + batch.lastOffset() + ",\"leaderEpoch\":" + batch.partitionLeaderEpoch()
            + ",\"codec\":" + batch.compressionType().id + ",\"timestampType\":" + batch.timestampType().id + ",\"maxTimestamp\":" + batch.maxTimestamp()
            + ",\"producerId\":" + batch.producerId() + ",\"producerEpoch\":" + batch.producerEpoch() + ",\"baseSequence\":" + batch.baseSequence()
            + ",\"transactional\":" + batch.isTransactional() + ",\"control\":" + batch.isControlBatch() + ",\"count\":" + batch.countOrNull()
            + ",\"records\":[" + (name == null ? String.join(",", records).replace("\n", "") : "\n" + String.join(",\n", records)) + "]}";
    }

    static String describe(Record record) throws Exception {
        List<String> headers = new ArrayList<>();
        for (Header header : record.headers()) {
            headers.add("[" + text(header.key().getBytes(StandardCharsets.UTF_8)) + "," + text(header.value()) + "]");
        }
        return "{\"offset\":" + record.offset() + ",\"timestamp\":" + record.timestamp() + ",\"key\":" + text(Utils.toNullableArray(record.key()))
            + ",\"value\":" + text(Utils.toNullableArray(record.value())) + ",\"headers\":[" + String.join(",", headers) + "]}";
    }

    static String text(byte[] bytes) throws Exception {
        if (bytes == null) return "null";
        if (bytes.length <= 256) return "\"" + HexFormat.of().formatHex(bytes) + "\"";
        return "\"sha256:" + HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes)) + "\"";
    }
}
