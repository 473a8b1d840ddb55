import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.record.internal.BaseRecords;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.SimpleRecord;

/**
 * Writes golden vectors with the message classes of Kafka's own Java client. For every API, version and direction there
 * are two messages: in the full one every field that the version has is set to a value of its own, in the bare one
 * everything is as small as it can be (null where that is allowed). The value beside the bytes is what the Java class
 * reads back from them, absent fields with their defaults.
 */
public class Golden {
    private static final int[] KEYS = {
        0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 37, 42, 43,
        44, 45, 46, 47, 55, 57, 60, 61, 65, 66, 68, 69, 71, 72, 74, 75,
    };
    private static final long SAFE_MAX = 9007199254740991L;
    private static final HexFormat HEX = HexFormat.of();

    private int counter;
    private final boolean full;

    private Golden(boolean full) {
        this.full = full;
    }

    public static void main(String[] args) throws Exception {
        Path folder = Path.of(args[0]);
        for (int key : KEYS) {
            ApiMessageType api = ApiMessageType.fromApiKey((short) key);
            List<String> vectors = new ArrayList<>();
            for (short version = api.lowestSupportedVersion(); version <= api.highestSupportedVersion(true); version++) {
                for (boolean request : new boolean[] {true, false}) {
                    Schema[] schemas = request ? api.requestSchemas() : api.responseSchemas();
                    int header = request ? api.requestHeaderVersion(version) : api.responseHeaderVersion(version);
                    for (boolean full : new boolean[] {true, false}) {
                        ApiMessage message = request ? api.newRequest() : api.newResponse();
                        new Golden(full).fill(message, schemas[version], 0);
                        ByteBuffer bytes = MessageUtil.toByteBufferAccessor(message, version).buffer();
                        String hex = hex(bytes);
                        ApiMessage back = request ? api.newRequest() : api.newResponse();
                        back.read(new ByteBufferAccessor(bytes.duplicate()), version);
                        vectors.add(String.format("{\"type\":\"%s\",\"version\":%d,\"header\":%d,\"hex\":\"%s\",\"value\":%s}",
                            request ? "request" : "response", version, header, hex, json(back)));
                    }
                }
            }
            String name = api.name.replaceAll("(?<!^)(?=[A-Z])", "-").toLowerCase();
            Files.writeString(folder.resolve(String.format("%02d-%s.json", key, name)),
                "{\"key\":" + key + ",\"vectors\":[\n" + String.join(",\n", vectors) + "\n]}\n");
        }
        Files.writeString(folder.resolve("headers.json"), headers());
        Files.writeString(folder.resolve("errors.json"), errors());
    }

    private static String headers() throws Exception {
        List<String> vectors = new ArrayList<>();
        for (String clientId : new String[] {null, "", "client-\u00e9"}) {
            for (ApiKeys api : new ApiKeys[] {ApiKeys.PRODUCE, ApiKeys.API_VERSIONS, ApiKeys.SASL_HANDSHAKE, ApiKeys.CONSUMER_GROUP_HEARTBEAT}) {
                for (short version : new short[] {api.oldestVersion(), api.latestVersion()}) {
                    RequestHeaderData header = new RequestHeaderData().setRequestApiKey(api.id).setRequestApiVersion(version)
                        .setCorrelationId(0x01020304 + api.id).setClientId(clientId);
                    ByteBuffer bytes = MessageUtil.toByteBufferAccessor(header, api.requestHeaderVersion(version)).buffer();
                    vectors.add(String.format("{\"hex\":\"%s\",\"value\":{\"apiKey\":%d,\"apiVersion\":%d,\"correlationId\":%d,\"clientId\":%s}}",
                        hex(bytes), api.id, version, header.correlationId(), clientId == null ? "null" : quote(clientId)));
                }
            }
        }
        List<String> versions = new ArrayList<>();
        for (ApiKeys api : ApiKeys.values()) {
            for (short version = api.oldestVersion(); version <= api.latestVersion(true) && api.hasValidVersion(); version++) {
                versions.add(String.format("[%d,%d,%d]", api.id, version, api.requestHeaderVersion(version)));
            }
        }
        return "{\"vectors\":[\n" + String.join(",\n", vectors) + "\n],\n\"requestHeaderVersions\":[" + String.join(",", versions) + "]}\n";
    }

    private static String errors() {
        List<String> rows = new ArrayList<>();
        for (Errors error : Errors.values()) {
            rows.add(String.format("[%d,\"%s\",%b]", error.code(), error.name(), error.exception() instanceof RetriableException));
        }
        return "[\n" + String.join(",\n", rows) + "\n]\n";
    }

    /** Sets every field that a version of the message has, as the schema of that version lists them. */
    private void fill(Object message, Schema schema, int depth) throws Exception {
        for (BoundField bound : schema.fields()) {
            if (bound.def.type instanceof TaggedFields tagged) {
                for (Map.Entry<Integer, org.apache.kafka.common.protocol.types.Field> entry : tagged.fields().entrySet()) {
                    if (full) set(message, entry.getValue(), depth);
                }
            } else {
                set(message, bound.def, depth);
            }
        }
    }

    private void set(Object message, org.apache.kafka.common.protocol.types.Field def, int depth) throws Exception {
        for (Field field : message.getClass().getDeclaredFields()) {
            if (Modifier.isStatic(field.getModifiers()) || !field.getName().equalsIgnoreCase(def.name.replace("_", ""))) continue;
            field.setAccessible(true);
            if (full || !def.type.isNullable()) field.set(message, value(field.getGenericType(), field.get(message), def.type, depth));
            else field.set(message, null);
            return;
        }
        throw new IllegalStateException(message.getClass() + " has no field " + def.name);
    }

    private Object value(Type javaType, Object current, org.apache.kafka.common.protocol.types.Type type, int depth) throws Exception {
        Class<?> raw = javaType instanceof ParameterizedType parameterized ? (Class<?>) parameterized.getRawType() : (Class<?>) javaType;
        if (Collection.class.isAssignableFrom(raw)) {
            org.apache.kafka.common.protocol.types.Type elementType = type.arrayElementType().get();
            Type element = javaType instanceof ParameterizedType parameterized ? parameterized.getActualTypeArguments()[0]
                : ((ParameterizedType) raw.getGenericSuperclass()).getActualTypeArguments()[0];
            @SuppressWarnings("unchecked")
            Collection<Object> values = raw == List.class ? new ArrayList<>() : (Collection<Object>) raw.getConstructor().newInstance();
            for (int count = full && depth == 0 ? 2 : 1; count > 0; count--) values.add(value(element, null, elementType, depth + 1));
            return values;
        }
        if (Message.class.isAssignableFrom(raw)) {
            Object message = raw.getConstructor().newInstance();
            fill(message, (Schema) type, depth);
            return message;
        }
        if (!full && current != null) return current;
        int n = ++counter;
        if (raw == boolean.class) return full;
        if (raw == byte.class || raw == Byte.class) return (byte) (n % 2 == 0 ? n : -n);
        if (raw == short.class || raw == Short.class) return (short) (300 + n);
        if (raw == int.class || raw == Integer.class) return n % 3 == 0 ? -n * 10_000_019 : n * 10_000_019;
        if (raw == long.class || raw == Long.class) return n % 3 == 0 ? Long.MAX_VALUE : n % 3 == 1 ? n * 5_000_000_029L : -n * 70_000_000_001L;
        if (raw == String.class) return !full ? "" : n % 4 == 0 ? "n\u00e4me-\u2603-" + n : "name-" + n;
        if (raw == Uuid.class) return new Uuid(0xfedcba9876543210L - n, n);
        if (raw == byte[].class) return full ? new byte[] {(byte) n, 0, -1} : new byte[0];
        if (raw == ByteBuffer.class) return ByteBuffer.wrap(full ? new byte[] {(byte) n, 0, -1} : new byte[0]);
        if (raw == BaseRecords.class) {
            return MemoryRecords.withRecords(Compression.NONE, new SimpleRecord(1_700_000_000_000L + n, new byte[] {1}, new byte[] {(byte) n}));
        }
        throw new IllegalStateException("no value for " + javaType);
    }

    private static String json(Object value) throws Exception {
        if (value == null) return "null";
        if (value instanceof Long number) return String.valueOf(Math.max(-SAFE_MAX, Math.min(SAFE_MAX, number)));
        if (value instanceof Number || value instanceof Boolean) return value.toString();
        if (value instanceof String || value instanceof Uuid) return quote(value.toString());
        if (value instanceof byte[] bytes) return quote(HEX.formatHex(bytes));
        if (value instanceof ByteBuffer bytes) return quote(hex(bytes));
        if (value instanceof MemoryRecords records) return quote(hex(records.buffer()));
        List<String> parts = new ArrayList<>();
        if (value instanceof Collection<?> values) {
            for (Object element : values) parts.add(json(element));
            return "[" + String.join(",", parts) + "]";
        }
        for (Field field : value.getClass().getDeclaredFields()) {
            String name = field.getName();
            if (Modifier.isStatic(field.getModifiers()) || name.startsWith("_") || name.equals("next") || name.equals("prev")) continue;
            field.setAccessible(true);
            parts.add("\"" + name + "\":" + json(field.get(value)));
        }
        return "{" + String.join(",", parts) + "}";
    }

    private static String quote(String text) {
        return "\"" + text + "\"";
    }

    private static String hex(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return HEX.formatHex(bytes);
    }
}
