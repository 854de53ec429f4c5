import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.BinaryNode;
import com.fasterxml.jackson.databind.node.BooleanNode;
import com.fasterxml.jackson.databind.node.DoubleNode;
import com.fasterxml.jackson.databind.node.IntNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.LongNode;
import com.fasterxml.jackson.databind.node.NullNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.databind.node.TextNode;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Scanner;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.RawTaggedField;

/**
 * Bytes of messages as Kafka's own generated classes write them.
 *
 * <p>Reads `NAME FIRST LAST` lines from standard input and writes a line `NAME VERSION VARIANT HEX` for each version and
 * variant. The values follow from the definition that the jar holds, a counter, and nothing else, so the output is the
 * same each time. `cargo xtask golden` runs it.
 */
public final class GoldenVectors {
    /** How the fields are filled. */
    private enum Variant {
        /** Empty, zero, and null wherever null may be. */
        EMPTY,
        /** Everything there, every number different. */
        FULL,
        /** The ends of the ranges, long and non-ASCII text, unknown tagged fields, every other nullable value null. */
        EXTREME
    }

    private static final ObjectMapper MAPPER = new ObjectMapper().enable(JsonParser.Feature.ALLOW_COMMENTS);

    private final short version;
    private final Variant variant;
    private final Map<String, JsonNode> commonStructs = new HashMap<>();
    private int counter = 0;

    private GoldenVectors(JsonNode definition, short version, Variant variant) {
        this.version = version;
        this.variant = variant;
        for (JsonNode struct : definition.path("commonStructs")) {
            commonStructs.put(struct.get("name").asText(), struct.get("fields"));
        }
    }

    public static void main(String[] arguments) throws Exception {
        Scanner lines = new Scanner(System.in);
        while (lines.hasNext()) {
            String name = lines.next();
            short first = lines.nextShort();
            short last = lines.nextShort();
            JsonNode definition = definition(name);
            for (short version = first; version <= last; version++) {
                for (Variant variant : Variant.values()) {
                    byte[] bytes = new GoldenVectors(definition, version, variant).encode(definition);
                    String hex = HexFormat.of().formatHex(bytes);
                    System.out.println(name + " " + version + " " + variant.name().toLowerCase() + " " + hex);
                }
            }
        }
    }

    private static JsonNode definition(String name) throws Exception {
        String path = "/common/message/" + name + ".json";
        try (InputStream stream = Message.class.getResourceAsStream(path)) {
            if (stream == null) {
                throw new IllegalArgumentException("Kafka's jar has no " + path);
            }
            return MAPPER.readTree(stream);
        }
    }

    private byte[] encode(JsonNode definition) throws Exception {
        String name = definition.get("name").asText();
        JsonNode value = struct(definition.get("fields"));
        // What is neither a message nor a header already has a class of its own name.
        String type = definition.get("type").asText().equals("data") ? name : name + "Data";
        Class<?> converter = Class.forName("org.apache.kafka.common.message." + type + "JsonConverter");
        Message message = (Message) converter.getMethod("read", JsonNode.class, short.class).invoke(null, value, version);
        if (variant == Variant.EXTREME && contains(definition.path("flexibleVersions").asText("none"))) {
            message.unknownTaggedFields().add(new RawTaggedField(100, new byte[] {1, 2, 3}));
            message.unknownTaggedFields().add(new RawTaggedField(20000, new byte[0]));
        }
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(buffer), cache, version);
        return buffer.array();
    }

    private ObjectNode struct(JsonNode fields) {
        ObjectNode value = JsonNodeFactory.instance.objectNode();
        for (JsonNode field : fields) {
            if (contains(field.path("versions").asText("0+"))) {
                String name = field.get("name").asText();
                value.set(Character.toLowerCase(name.charAt(0)) + name.substring(1), field(field));
            }
        }
        return value;
    }

    private JsonNode field(JsonNode field) {
        String type = field.get("type").asText();
        counter++;
        boolean nullable = contains(field.path("nullableVersions").asText("none"));
        if (nullable && (variant == Variant.EMPTY || (variant == Variant.EXTREME && counter % 2 == 0))) {
            return NullNode.instance;
        }
        return value(type, field);
    }

    private JsonNode value(String type, JsonNode field) {
        counter++;
        if (type.startsWith("[]")) {
            ArrayNode array = JsonNodeFactory.instance.arrayNode();
            int length = variant == Variant.EMPTY ? 0 : variant == Variant.FULL ? 2 : 1;
            for (int index = 0; index < length; index++) {
                array.add(value(type.substring(2), field));
            }
            return array;
        }
        return switch (type) {
            case "bool" -> BooleanNode.valueOf(variant != Variant.EMPTY);
            case "int8" -> IntNode.valueOf((int) number(Byte.MIN_VALUE, Byte.MAX_VALUE));
            case "int16" -> IntNode.valueOf((int) number(Short.MIN_VALUE, Short.MAX_VALUE));
            case "uint16" -> IntNode.valueOf((int) number(0, 0xffff));
            case "int32" -> IntNode.valueOf((int) number(Integer.MIN_VALUE, Integer.MAX_VALUE));
            case "uint32" -> LongNode.valueOf(number(0, 0xffffffffL));
            case "int64" -> LongNode.valueOf(number(Long.MIN_VALUE, Long.MAX_VALUE));
            case "float64" -> DoubleNode.valueOf(variant == Variant.EMPTY ? 0 : counter + 0.5);
            case "uuid" -> TextNode.valueOf(uuid().toString());
            case "string" -> TextNode.valueOf(text());
            case "bytes", "records" -> BinaryNode.valueOf(bytes());
            default -> struct(commonStructs.getOrDefault(type, field.path("fields")));
        };
    }

    private long number(long least, long most) {
        return switch (variant) {
            case EMPTY -> 0;
            case FULL -> counter % 100 + 1;
            case EXTREME -> counter % 3 == 0 ? least : most;
        };
    }

    private Uuid uuid() {
        return variant == Variant.EMPTY ? Uuid.ZERO_UUID : new Uuid(0x0123456789abcdefL, counter);
    }

    private String text() {
        return switch (variant) {
            case EMPTY -> "";
            case FULL -> "text-" + counter;
            // Longer than one byte of a compact length can say.
            case EXTREME -> "\u00e9\u6f22\ud83d\ude00" + counter + "x".repeat(counter % 2 == 0 ? 150 : 0);
        };
    }

    private byte[] bytes() {
        byte[] bytes = new byte[variant == Variant.EMPTY ? 0 : variant == Variant.FULL ? 5 : 200];
        for (int index = 0; index < bytes.length; index++) {
            bytes[index] = (byte) (counter + index);
        }
        return bytes;
    }

    /** Whether the versions, as definitions write them, contain this one. */
    private boolean contains(String versions) {
        if (versions.equals("none")) {
            return false;
        }
        if (versions.endsWith("+")) {
            return version >= Short.parseShort(versions.substring(0, versions.length() - 1));
        }
        List<Short> ends = List.of(versions.split("-")).stream().map(Short::parseShort).toList();
        return ends.get(0) <= version && version <= ends.get(ends.size() - 1);
    }
}
