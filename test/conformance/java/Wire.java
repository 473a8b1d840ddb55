import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.util.Collection;
import java.util.HexFormat;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.requests.RequestUtils;

/**
 * One connection. Requests are written and answers are read by the message classes of Kafka's Java client, and every answer is held to
 * this: it is read to its last byte, it has no field that Kafka does not know, and written again it gives the bytes that came.
 */
final class Wire implements AutoCloseable {
    static final String CLIENT_ID = "every-version";
    private static final int ANSWER_MS = 60_000;

    private final Socket socket;
    private final DataInputStream in;
    private int correlationId = 100;

    Wire(String host, int port) throws IOException {
        socket = new Socket(host, port);
        socket.setTcpNoDelay(true);
        socket.setSoTimeout(ANSWER_MS);
        in = new DataInputStream(socket.getInputStream());
    }

    <T extends ApiMessage> T ask(ApiKeys api, int version, ApiMessage request) throws IOException {
        post(api, version, request);
        return answer(api, version);
    }

    /** Sends without waiting. Answers come in the order of the requests. */
    void post(ApiKeys api, int version, ApiMessage request) throws IOException {
        RequestHeaderData header = new RequestHeaderData().setRequestApiKey(api.id).setRequestApiVersion((short) version)
            .setCorrelationId(++correlationId).setClientId(CLIENT_ID);
        ByteBuffer body = RequestUtils.serialize(header, api.requestHeaderVersion((short) version), request, (short) version);
        postFrame(body);
    }

    void postFrame(ByteBuffer body) throws IOException {
        ByteBuffer frame = ByteBuffer.allocate(4 + body.remaining()).putInt(body.remaining()).put(body.duplicate());
        socket.getOutputStream().write(frame.array());
    }

    /** The next answer, which must be the one to the request that was posted last. */
    @SuppressWarnings("unchecked")
    <T extends ApiMessage> T answer(ApiKeys api, int version) throws IOException {
        byte[] bytes = new byte[in.readInt()];
        in.readFully(bytes);
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        ResponseHeaderData header = new ResponseHeaderData(new ByteBufferAccessor(buffer), api.responseHeaderVersion((short) version));
        Check.equal(api.name + " v" + version + ": correlation id", correlationId, header.correlationId());
        Check.that(api.name + " v" + version + ": unknown tagged fields in the header", header.unknownTaggedFields().isEmpty());
        byte[] body = new byte[buffer.remaining()];
        buffer.duplicate().get(body);
        return (T) read(api.messageType.newResponse(), body, version);
    }

    /** Reads a message to its last byte and writes it again. */
    static ApiMessage read(ApiMessage message, byte[] body, int version) {
        String what = message.getClass().getSimpleName() + " v" + version;
        ByteBuffer buffer = ByteBuffer.wrap(body);
        message.read(new ByteBufferAccessor(buffer), (short) version);
        Check.equal(what + ": bytes behind the answer", 0, buffer.remaining());
        nothingUnknown(what, message);
        ByteBuffer again = MessageUtil.toByteBufferAccessor(message, (short) version).buffer();
        byte[] written = new byte[again.remaining()];
        again.get(written);
        Check.equal(what + ": written again", HexFormat.of().formatHex(body), HexFormat.of().formatHex(written));
        return message;
    }

    /** Whether the other side closes the connection and says nothing. */
    boolean isClosed() throws IOException {
        try {
            in.readByte();
            return false;
        } catch (EOFException closed) {
            return true;
        }
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }

    private static void nothingUnknown(String what, Object value) {
        if (value instanceof Collection<?> elements) {
            for (Object element : elements) nothingUnknown(what, element);
        } else if (value instanceof Message message) {
            Check.that(what + ": unknown tagged fields " + message.unknownTaggedFields(), message.unknownTaggedFields().isEmpty());
            for (Field field : message.getClass().getDeclaredFields()) {
                if (Modifier.isStatic(field.getModifiers()) || field.getName().startsWith("_")) continue;
                field.setAccessible(true);
                try {
                    nothingUnknown(what, field.get(message));
                } catch (IllegalAccessException impossible) {
                    throw new AssertionError(impossible);
                }
            }
        }
    }
}
