import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.SimpleRecord;

/**
 * A transactional producer that speaks the newest versions: with them every end of a transaction gives it a new epoch, and a partition becomes
 * part of a transaction by being written to (KIP-890). What a case asks in its own version changes what is known here by `become`.
 */
final class TransactionalProducer {
    static final int TIMEOUT_MS = 60_000;

    final String transactionalId;
    long producerId = -1;
    short epoch = -1;
    private final Bench bench;
    /** Topic → the next sequence in the one partition of it that is written to. */
    private final Map<Uuid, Integer> sequences = new HashMap<>();

    private TransactionalProducer(Bench bench, String transactionalId) {
        this.bench = bench;
        this.transactionalId = transactionalId;
    }

    /** The only producer of its transactional id. */
    static TransactionalProducer start(Bench bench, String transactionalId) throws Exception {
        TransactionalProducer producer = new TransactionalProducer(bench, transactionalId);
        producer.initialise();
        return producer;
    }

    /** One who believes to be a producer. */
    TransactionalProducer with(String otherId, long otherProducerId, int otherEpoch) {
        TransactionalProducer other = new TransactionalProducer(bench, otherId);
        other.become(otherProducerId, (short) otherEpoch);
        return other;
    }

    /** A new epoch; what is open is aborted. */
    void initialise() throws Exception {
        InitProducerIdRequestData request = new InitProducerIdRequestData().setTransactionalId(transactionalId).setTransactionTimeoutMs(TIMEOUT_MS);
        InitProducerIdResponseData[] response = new InitProducerIdResponseData[1];
        Bench.eventually("a producer id for " + transactionalId, () -> {
            response[0] = bench.ask(ApiKeys.INIT_PRODUCER_ID, request);
            return !isPassing(Errors.forCode(response[0].errorCode()));
        });
        Check.fine("InitProducerId", response[0].errorCode());
        become(response[0].producerId(), response[0].producerEpoch());
    }

    void become(long newProducerId, short newEpoch) {
        if (newProducerId == producerId && newEpoch == epoch) return;
        producerId = newProducerId;
        epoch = newEpoch;
        sequences.clear();
    }

    /** The next batch for a topic, of which only one partition is written to. */
    MemoryRecords records(Uuid topicId, String... values) {
        SimpleRecord[] records = new SimpleRecord[values.length];
        for (int i = 0; i < values.length; i++) records[i] = new SimpleRecord(System.currentTimeMillis(), Bench.utf8(values[i]));
        int sequence = sequences.getOrDefault(topicId, 0);
        sequences.put(topicId, sequence + values.length);
        return MemoryRecords.withTransactionalRecords(Compression.NONE, producerId, epoch, sequence, records);
    }

    /** Writes to partition 0, and begins a transaction where none is open. Gives the base offset. */
    long write(Uuid topicId, String... values) throws Exception {
        return bench.produce(topicId, transactionalId, records(topicId, values));
    }

    /** Makes partitions part of the transaction, as producers do that do not leave it to the broker. */
    void add(String topic, Integer... partitions) throws Exception {
        AddPartitionsToTxnRequestData request = new AddPartitionsToTxnRequestData().setV3AndBelowTransactionalId(transactionalId)
            .setV3AndBelowProducerId(producerId).setV3AndBelowProducerEpoch(epoch);
        request.v3AndBelowTopics().add(new AddPartitionsToTxnRequestData.AddPartitionsToTxnTopic().setName(topic).setPartitions(List.of(partitions)));
        AddPartitionsToTxnResponseData response = bench.ask(ApiKeys.ADD_PARTITIONS_TO_TXN, 3, request);
        for (var partition : Check.only("topics", response.resultsByTopicV3AndBelow()).resultsByPartition()) {
            Check.fine("adding " + topic, partition.partitionErrorCode());
        }
    }

    void addOffsets(String group) throws Exception {
        AddOffsetsToTxnRequestData request = new AddOffsetsToTxnRequestData().setTransactionalId(transactionalId)
            .setProducerId(producerId).setProducerEpoch(epoch).setGroupId(group);
        AddOffsetsToTxnResponseData response = bench.ask(ApiKeys.ADD_OFFSETS_TO_TXN, request);
        Check.fine("adding the offsets of " + group, response.errorCode());
    }

    /** Ends the transaction, and waits until its markers are written. */
    void end(boolean committed) throws Exception {
        EndTxnRequestData request = new EndTxnRequestData().setTransactionalId(transactionalId).setProducerId(producerId).setProducerEpoch(epoch)
            .setCommitted(committed);
        EndTxnResponseData response = bench.ask(ApiKeys.END_TXN, request);
        Check.fine("ending the transaction of " + transactionalId, response.errorCode());
        become(response.producerId(), response.producerEpoch());
        awaitEnd(committed);
    }

    void awaitEnd(boolean committed) throws Exception {
        String state = committed ? "CompleteCommit" : "CompleteAbort";
        Bench.eventually(transactionalId + " is in " + state, () -> described().transactionState().equals(state));
    }

    DescribeTransactionsResponseData.TransactionState described() throws IOException {
        DescribeTransactionsRequestData request = new DescribeTransactionsRequestData().setTransactionalIds(List.of(transactionalId));
        DescribeTransactionsResponseData response = bench.ask(ApiKeys.DESCRIBE_TRANSACTIONS, request);
        return Check.only("transactions", response.transactionStates());
    }

    /** The partitions of the transaction that is open, of one topic. */
    List<Integer> partitions(String topic) throws IOException {
        var found = described().topics().find(topic);
        return found == null ? List.of() : found.partitions().stream().sorted().toList();
    }

    /** What a client is told when it is to ask again. */
    static boolean isPassing(Errors error) {
        return error == Errors.COORDINATOR_LOAD_IN_PROGRESS || error == Errors.COORDINATOR_NOT_AVAILABLE || error == Errors.CONCURRENT_TRANSACTIONS;
    }
}
