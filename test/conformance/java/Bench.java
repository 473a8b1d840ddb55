import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.common.requests.FetchMetadata;

/** The broker under test, and what cases need of it beside what they test. */
final class Bench {
    final String host;
    final int port;
    /** Advertised key → the newest version that is advertised. */
    final Map<ApiKeys, Short> newest = new TreeMap<>();
    ApiVersionsResponseData advertised;
    private Wire wire;

    Bench(String host, int port) throws IOException {
        this.host = host;
        this.port = port;
    }

    /** The connection that cases share; a fresh one after a failure. */
    Wire wire() throws IOException {
        if (wire == null) wire = connect();
        return wire;
    }

    Wire connect() throws IOException {
        return new Wire(host, port);
    }

    void reconnect() throws IOException {
        if (wire != null) wire.close();
        wire = null;
    }

    <T extends ApiMessage> T ask(ApiKeys api, int version, ApiMessage request) throws IOException {
        return wire().ask(api, version, request);
    }

    <T extends ApiMessage> T ask(ApiKeys api, ApiMessage request) throws IOException {
        return ask(api, newest.get(api), request);
    }

    // ---- topics ------------------------------------------------------------------------------------------------------------------

    /** Of a run of its own, so that one broker can be asked twice. */
    private static final String RUN = Long.toString(System.currentTimeMillis(), 36);

    /** For the topic and the group of one API and version. */
    static String name(ApiKeys api, short version) {
        return "every-" + RUN + "-" + api.name + "-v" + version;
    }

    /** Creates a topic of this name and gives its id. */
    Uuid createTopic(String topic, int partitions) throws Exception {
        CreateTopicsRequestData request = new CreateTopicsRequestData();
        request.topics().add(new CreateTopicsRequestData.CreatableTopic().setName(topic).setNumPartitions(partitions).setReplicationFactor((short) 1));
        CreateTopicsResponseData response = ask(ApiKeys.CREATE_TOPICS, request);
        CreateTopicsResponseData.CreatableTopicResult result = Check.only("CreateTopics", response.topics());
        Check.fine("creating " + topic, result.errorCode());
        eventually(topic + " is led", () -> describe(topic).errorCode() == 0 && listOffset(topic, -1).errorCode() == 0);
        return result.topicId();
    }

    MetadataResponseData.MetadataResponseTopic describe(String topic) throws IOException {
        MetadataRequestData request = new MetadataRequestData().setAllowAutoTopicCreation(false);
        request.topics().add(new MetadataRequestData.MetadataRequestTopic().setName(topic));
        MetadataResponseData response = ask(ApiKeys.METADATA, request);
        return Check.only("Metadata", response.topics());
    }

    int leaderEpoch(String topic) throws IOException {
        return describe(topic).partitions().get(0).leaderEpoch();
    }

    /** Waits until groups have a coordinator, and transactions too where they are served: a broker that just started makes their topics first. */
    void awaitCoordinators() throws Exception {
        for (byte type = 0; type <= (newest.containsKey(ApiKeys.END_TXN) ? 1 : 0); type++) {
            FindCoordinatorRequestData request = new FindCoordinatorRequestData().setKeyType(type).setCoordinatorKeys(List.of("every"));
            eventually("a coordinator", () -> {
                FindCoordinatorResponseData response = ask(ApiKeys.FIND_COORDINATOR, request);
                return response.coordinators().get(0).errorCode() == 0;
            });
        }
    }

    int nodeId() throws IOException {
        MetadataResponseData response = ask(ApiKeys.METADATA, new MetadataRequestData());
        return Check.only("brokers", response.brokers()).nodeId();
    }

    // ---- records -----------------------------------------------------------------------------------------------------------------

    static MemoryRecords records(Compression compression, String... values) {
        SimpleRecord[] records = new SimpleRecord[values.length];
        for (int i = 0; i < values.length; i++) records[i] = new SimpleRecord(System.currentTimeMillis(), utf8("k" + i), utf8(values[i]));
        return MemoryRecords.withRecords(compression, records);
    }

    /** Produces to partition 0 and gives the base offset. */
    long produce(Uuid topicId, MemoryRecords records) throws IOException {
        return produce(topicId, null, records);
    }

    long produce(Uuid topicId, String transactionalId, MemoryRecords records) throws IOException {
        ProduceRequestData request = new ProduceRequestData().setAcks((short) -1).setTimeoutMs(30_000).setTransactionalId(transactionalId);
        ProduceRequestData.TopicProduceData data = new ProduceRequestData.TopicProduceData().setTopicId(topicId);
        data.partitionData().add(new ProduceRequestData.PartitionProduceData().setIndex(0).setRecords(records));
        request.topicData().add(data);
        ProduceResponseData response = ask(ApiKeys.PRODUCE, request);
        ProduceResponseData.PartitionProduceResponse partition = Check.only("Produce", Check.only("Produce", response.responses()).partitionResponses());
        Check.fine("producing", partition.errorCode());
        return partition.baseOffset();
    }

    long produce(Uuid topicId, String... values) throws IOException {
        return produce(topicId, records(Compression.NONE, values));
    }

    /** The values of what a fetch gave, checked by Kafka's own reader: the batch is sound and its offsets follow one another. */
    static List<String> values(Object records, long firstOffset) {
        List<String> values = new ArrayList<>();
        long offset = firstOffset;
        for (var batch : ((MemoryRecords) records).batches()) {
            batch.ensureValid();
            for (Record record : batch) {
                record.ensureValid();
                Check.equal("offset", offset++, record.offset());
                values.add(text(record.value()));
            }
        }
        return values;
    }

    /** What partition 0 holds from an offset on; of a reader of committed records up to the last stable offset. */
    FetchResponseData.PartitionData fetch(Uuid topicId, long offset, boolean committed) throws IOException {
        FetchRequestData request = new FetchRequestData().setMaxWaitMs(1).setMinBytes(1).setMaxBytes(1 << 20).setSessionEpoch(FetchMetadata.FINAL_EPOCH)
            .setIsolationLevel((byte) (committed ? 1 : 0));
        FetchRequestData.FetchTopic asked = new FetchRequestData.FetchTopic().setTopicId(topicId);
        asked.partitions().add(new FetchRequestData.FetchPartition().setPartition(0).setFetchOffset(offset).setPartitionMaxBytes(1 << 20));
        request.topics().add(asked);
        FetchResponseData response = ask(ApiKeys.FETCH, request);
        FetchResponseData.PartitionData partition = Check.only("Fetch", Check.only("Fetch", response.responses()).partitions());
        Check.fine("Fetch", partition.errorCode());
        return partition;
    }

    /** The values of partition 0 for a consumer that reads committed records. */
    List<String> committed(Uuid topicId) throws IOException {
        List<String> values = new ArrayList<>();
        for (long offset = 0; ; ) {
            FetchResponseData.PartitionData partition = fetch(topicId, offset, true);
            values.addAll(committed(partition));
            long before = offset;
            for (var batch : ((MemoryRecords) partition.records()).batches()) offset = batch.nextOffset();
            Check.that("records before the last stable offset", offset > before || offset >= partition.lastStableOffset());
            if (offset >= partition.lastStableOffset()) return values;
        }
    }

    /** What a fetch gave, without the records of transactions that aborted: the broker names them, and where the first of their records is. */
    static List<String> committed(FetchResponseData.PartitionData partition) {
        Iterator<FetchResponseData.AbortedTransaction> transactions = partition.abortedTransactions().iterator();
        FetchResponseData.AbortedTransaction next = transactions.hasNext() ? transactions.next() : null;
        Set<Long> aborted = new HashSet<>();
        List<String> values = new ArrayList<>();
        for (var batch : ((MemoryRecords) partition.records()).batches()) {
            batch.ensureValid();
            for (; next != null && next.firstOffset() <= batch.lastOffset(); next = transactions.hasNext() ? transactions.next() : null) {
                aborted.add(next.producerId());
            }
            if (batch.isControlBatch()) aborted.remove(batch.producerId());
            else if (!batch.isTransactional() || !aborted.contains(batch.producerId())) {
                for (Record record : batch) values.add(text(record.value()));
            }
        }
        return values;
    }

    /** Earliest (-2), latest (-1) or what else ListOffsets knows, of partition 0. */
    long offset(String topic, long timestamp) throws IOException {
        var answer = listOffset(topic, timestamp);
        Check.fine("ListOffsets", answer.errorCode());
        return answer.offset();
    }

    private ListOffsetsResponseData.ListOffsetsPartitionResponse listOffset(String topic, long timestamp) throws IOException {
        ListOffsetsRequestData request = new ListOffsetsRequestData().setReplicaId(-1);
        ListOffsetsRequestData.ListOffsetsTopic asked = new ListOffsetsRequestData.ListOffsetsTopic().setName(topic);
        asked.partitions().add(new ListOffsetsRequestData.ListOffsetsPartition().setPartitionIndex(0).setTimestamp(timestamp));
        request.topics().add(asked);
        ListOffsetsResponseData response = ask(ApiKeys.LIST_OFFSETS, request);
        return Check.only("ListOffsets", Check.only("ListOffsets", response.topics()).partitions());
    }

    // ---- configs -----------------------------------------------------------------------------------------------------------------

    static final byte TOPIC = 2;
    static final byte BROKER = 4;
    static final byte CLIENT_METRICS = 16;
    static final byte GROUP = 32;

    /** The value of a config and where it comes from: 1 is the resource itself, 5 the default. */
    DescribeConfigsResponseData.DescribeConfigsResourceResult config(byte type, String resource, String name) throws IOException {
        DescribeConfigsRequestData request = new DescribeConfigsRequestData();
        request.resources().add(new DescribeConfigsRequestData.DescribeConfigsResource().setResourceType(type).setResourceName(resource)
            .setConfigurationKeys(List.of(name)));
        DescribeConfigsResponseData response = ask(ApiKeys.DESCRIBE_CONFIGS, request);
        var result = Check.only("DescribeConfigs", response.results());
        Check.fine("DescribeConfigs", result.errorCode());
        return Check.only("DescribeConfigs", result.configs());
    }

    /** Sets one config of a resource. */
    void configure(byte type, String resource, String name, String value) throws Exception {
        IncrementalAlterConfigsRequestData request = new IncrementalAlterConfigsRequestData();
        var asked = new IncrementalAlterConfigsRequestData.AlterConfigsResource().setResourceType(type).setResourceName(resource);
        asked.configs().add(new IncrementalAlterConfigsRequestData.AlterableConfig().setName(name).setValue(value).setConfigOperation((byte) 0));
        request.resources().add(asked);
        IncrementalAlterConfigsResponseData response = ask(ApiKeys.INCREMENTAL_ALTER_CONFIGS, request);
        Check.fine(name + " of " + resource, Check.only("IncrementalAlterConfigs", response.responses()).errorCode());
        eventually(name + " of " + resource, () -> value.equals(config(type, resource, name).value()));
    }

    // ---- words and waiting -------------------------------------------------------------------------------------------------------

    static ByteBuffer bytes(String text) {
        return ByteBuffer.wrap(utf8(text));
    }

    static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static String text(ByteBuffer bytes) {
        return bytes == null ? null : StandardCharsets.UTF_8.decode(bytes.duplicate()).toString();
    }

    static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }

    interface Condition {
        boolean holds() throws Exception;
    }

    /** Asks again until it holds; what takes longer than half a minute fails. */
    static void eventually(String what, Condition condition) throws Exception {
        long end = System.nanoTime() + 30_000_000_000L;
        while (!condition.holds()) {
            if (System.nanoTime() > end) throw new AssertionError(what + ": not within 30 s");
            Thread.sleep(20);
        }
    }
}
