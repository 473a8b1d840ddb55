import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.utils.Utils;

/** Transactions: how they grow and end, and what admin tools see of them. Offsets of groups in them are in GroupCases. */
final class TransactionCases {
    private static final String OFFSETS_TOPIC = "__consumer_offsets";
    /** From this version on AddPartitionsToTxn is what brokers ask one another, for many transactions at once. */
    private static final short BATCHED = 4;

    private TransactionCases() {}

    static void addTo(Map<ApiKeys, Case> cases) {
        cases.put(ApiKeys.ADD_PARTITIONS_TO_TXN, TransactionCases::addPartitions);
        cases.put(ApiKeys.ADD_OFFSETS_TO_TXN, TransactionCases::addOffsets);
        cases.put(ApiKeys.END_TXN, TransactionCases::endTxn);
        cases.put(ApiKeys.WRITE_TXN_MARKERS, TransactionCases::writeMarkers);
        cases.put(ApiKeys.DESCRIBE_TRANSACTIONS, TransactionCases::describeTransactions);
        cases.put(ApiKeys.LIST_TRANSACTIONS, TransactionCases::listTransactions);
    }

    /** What a producer hears that has been fenced: the error has a name of its own since KIP-588. */
    private static Errors fenced(short version) {
        return version < 2 ? Errors.INVALID_PRODUCER_EPOCH : Errors.PRODUCER_FENCED;
    }

    /** A producer with an epoch before it. */
    private static TransactionalProducer restarted(Bench bench, String transactionalId) throws Exception {
        TransactionalProducer producer = TransactionalProducer.start(bench, transactionalId);
        producer.initialise();
        return producer;
    }

    // ---- what is part of a transaction ---------------------------------------------------------------------------------------------

    private static String addPartitions(Bench bench, short version) throws Exception {
        String topic = Bench.name(ApiKeys.ADD_PARTITIONS_TO_TXN, version);
        Uuid id = bench.createTopic(topic, 3);
        TransactionalProducer producer = restarted(bench, topic);
        Check.equal("two partitions", List.of(Errors.NONE, Errors.NONE), added(bench, version, producer, false, topic, 0, 1));
        Check.equal("state", "Ongoing", producer.described().transactionState());
        Check.equal("partitions of the transaction", List.of(0, 1), producer.partitions(topic));
        Check.equal("one of them again, and another", List.of(Errors.NONE, Errors.NONE), added(bench, version, producer, false, topic, 1, 2));
        Check.equal("partitions of the transaction", List.of(0, 1, 2), producer.partitions(topic));

        TransactionalProducer other = restarted(bench, topic + "-other");
        Check.equal("a partition, and one that is not", List.of(Errors.OPERATION_NOT_ATTEMPTED, Errors.UNKNOWN_TOPIC_OR_PARTITION),
            added(bench, version, other, false, topic, 0, 9));
        Check.equal("state", "Empty", other.described().transactionState());
        Check.equal("an unknown topic", List.of(Errors.UNKNOWN_TOPIC_OR_PARTITION), added(bench, version, other, false, topic + "-unknown", 0));
        if (version < BATCHED) {
            Check.equal("a topic that is not for clients", List.of(Errors.TOPIC_AUTHORIZATION_FAILED), added(bench, version, other, false, OFFSETS_TOPIC, 0));
        }
        Check.equal("an unknown transactional id", List.of(Errors.INVALID_PRODUCER_ID_MAPPING),
            added(bench, version, producer.with(topic + "-unknown", producer.producerId, producer.epoch), false, topic, 0));
        Check.equal("the producer id of another", List.of(Errors.INVALID_PRODUCER_ID_MAPPING),
            added(bench, version, producer.with(topic, other.producerId, producer.epoch), false, topic, 0));
        Check.equal("an epoch that is over", List.of(fenced(version)),
            added(bench, version, producer.with(topic, producer.producerId, producer.epoch - 1), false, topic, 0));
        if (version >= BATCHED) batched(bench, version, topic, producer, other);

        producer.write(id, "a");
        producer.end(true);
        Check.equal("committed", List.of("a"), bench.committed(id));
        Check.equal("partitions of the transaction that is over", List.of(), producer.partitions(topic));
        return "partitions, twice and in two steps; unknown partitions, ids and epochs refused"
            + (version >= BATCHED ? "; two transactions at once, and what is part is told" : "");
    }

    /** Two transactions in one request: one is only asked about, the other grows. */
    private static void batched(Bench bench, short version, String topic, TransactionalProducer asked,
                                TransactionalProducer grows) throws Exception {
        AddPartitionsToTxnRequestData request = new AddPartitionsToTxnRequestData();
        request.transactions().add(transaction(asked, true, topic, 2));
        request.transactions().add(transaction(grows, false, topic, 1));
        AddPartitionsToTxnResponseData response = bench.ask(ApiKeys.ADD_PARTITIONS_TO_TXN, version, request);
        Check.fine("AddPartitionsToTxn", response.errorCode());
        Check.equal("transactions", 2, response.resultsByTransaction().size());
        for (var result : response.resultsByTransaction()) {
            var partitions = Check.only("topics", result.topicResults()).resultsByPartition();
            Check.fine(result.transactionalId(), Check.only("partitions", partitions).partitionErrorCode());
        }
        Check.equal("partitions of the transaction that grows", List.of(1), grows.partitions(topic));
        Check.equal("a partition that is not part, and one that is", List.of(Errors.TRANSACTION_ABORTABLE, Errors.NONE),
            added(bench, version, grows, true, topic, 0, 1));
        Check.equal("partitions of the transaction that was asked about", List.of(1), grows.partitions(topic));
        Check.equal("an epoch that is over", List.of(Errors.PRODUCER_FENCED),
            added(bench, version, grows.with(grows.transactionalId, grows.producerId, grows.epoch - 1), true, topic, 1));
        grows.end(false);
    }

    /** An error for each of the partitions, in their order. */
    private static List<Errors> added(Bench bench, short version, TransactionalProducer producer, boolean verifyOnly, String topic,
                                      Integer... partitions) throws Exception {
        AddPartitionsToTxnRequestData request = new AddPartitionsToTxnRequestData();
        var asked = transaction(producer, verifyOnly, topic, partitions);
        if (version < BATCHED) {
            request.setV3AndBelowTransactionalId(asked.transactionalId()).setV3AndBelowProducerId(asked.producerId())
                .setV3AndBelowProducerEpoch(asked.producerEpoch()).setV3AndBelowTopics(asked.topics());
        } else {
            request.transactions().add(asked);
        }
        AddPartitionsToTxnResponseData response = bench.ask(ApiKeys.ADD_PARTITIONS_TO_TXN, version, request);
        Check.equal("throttle time", 0, response.throttleTimeMs());
        var topics = response.resultsByTopicV3AndBelow();
        if (version >= BATCHED) {
            Check.fine("AddPartitionsToTxn", response.errorCode());
            var result = Check.only("transactions", response.resultsByTransaction());
            Check.equal("transactional id", producer.transactionalId, result.transactionalId());
            topics = result.topicResults();
        }
        var answered = Check.only("topics", topics);
        Check.equal("topic", topic, answered.name());
        Check.equal("partitions", partitions.length, answered.resultsByPartition().size());
        return List.of(partitions).stream().map(each -> Errors.forCode(answered.resultsByPartition().find(each).partitionErrorCode())).toList();
    }

    private static AddPartitionsToTxnRequestData.AddPartitionsToTxnTransaction transaction(TransactionalProducer producer, boolean verifyOnly, String topic,
                                                                                         Integer... partitions) {
        var asked = new AddPartitionsToTxnRequestData.AddPartitionsToTxnTransaction().setTransactionalId(producer.transactionalId)
            .setProducerId(producer.producerId).setProducerEpoch(producer.epoch).setVerifyOnly(verifyOnly);
        asked.topics().add(new AddPartitionsToTxnRequestData.AddPartitionsToTxnTopic().setName(topic).setPartitions(List.of(partitions)));
        return asked;
    }

    private static String addOffsets(Bench bench, short version) throws Exception {
        String group = Bench.name(ApiKeys.ADD_OFFSETS_TO_TXN, version);
        Uuid id = bench.createTopic(group, 1);
        TransactionalProducer producer = restarted(bench, group);
        Check.equal("the offsets of a group", Errors.NONE, offsetsAdded(bench, version, producer, group));
        Check.equal("a commit that asks for that", Errors.NONE, GroupCases.committedInTransaction(bench, (short) 4, producer, group, group, 51));
        Check.equal("state", "Ongoing", producer.described().transactionState());
        int partition = Utils.abs(group.hashCode()) % bench.describe(OFFSETS_TOPIC).partitions().size();
        Check.equal("their partition", List.of(partition), producer.partitions(OFFSETS_TOPIC));
        Check.equal("once more", Errors.NONE, offsetsAdded(bench, version, producer, group));
        Check.equal("an unknown transactional id", Errors.INVALID_PRODUCER_ID_MAPPING,
            offsetsAdded(bench, version, producer.with(group + "-unknown", producer.producerId, producer.epoch), group));
        Check.equal("an unknown producer id", Errors.INVALID_PRODUCER_ID_MAPPING,
            offsetsAdded(bench, version, producer.with(group, producer.producerId + 1_000_000, producer.epoch), group));
        Check.equal("an epoch that is over", fenced(version),
            offsetsAdded(bench, version, producer.with(group, producer.producerId, producer.epoch - 1), group));
        producer.end(true);
        Check.equal("partitions of the transaction that is over", List.of(), producer.partitions(OFFSETS_TOPIC));
        Check.equal("committed offset", 51L, GroupCases.fetched(bench, group, id).committedOffset());
        return "the offsets of a group, and where they go; unknown ids and epochs refused";
    }

    private static Errors offsetsAdded(Bench bench, short version, TransactionalProducer producer, String group) throws Exception {
        AddOffsetsToTxnRequestData request = new AddOffsetsToTxnRequestData().setTransactionalId(producer.transactionalId).setProducerId(producer.producerId)
            .setProducerEpoch(producer.epoch).setGroupId(group);
        AddOffsetsToTxnResponseData response = bench.ask(ApiKeys.ADD_OFFSETS_TO_TXN, version, request);
        Check.equal("throttle time", 0, response.throttleTimeMs());
        return Errors.forCode(response.errorCode());
    }

    // ---- the end of a transaction ----------------------------------------------------------------------------------------------------

    /** From version 5 on every end gives the producer a new epoch, by which a retry is known (KIP-890). */
    private static String endTxn(Bench bench, short version) throws Exception {
        boolean bumps = version >= 5;
        String topic = Bench.name(ApiKeys.END_TXN, version);
        Uuid id = bench.createTopic(topic, 1);
        TransactionalProducer producer = restarted(bench, topic);
        refused("committing before anything is open", Errors.INVALID_TXN_STATE, ended(bench, version, producer, true));

        producer.write(id, "a", "b");
        refused("an unknown transactional id", Errors.INVALID_PRODUCER_ID_MAPPING,
            ended(bench, version, producer.with(topic + "-unknown", producer.producerId, producer.epoch), true));
        refused("an unknown producer id", Errors.INVALID_PRODUCER_ID_MAPPING,
            ended(bench, version, producer.with(topic, producer.producerId + 1_000_000, producer.epoch), true));
        refused("an epoch that is over", fenced(version), ended(bench, version, producer.with(topic, producer.producerId, producer.epoch - 1), true));
        Check.equal("committed before the end", List.of(), bench.committed(id));

        TransactionalProducer before = producer.with(topic, producer.producerId, producer.epoch);
        accepted("committing", bumps, before, producer, ended(bench, version, producer, true));
        producer.awaitEnd(true);
        Check.equal("committed", List.of("a", "b"), bench.committed(id));
        marked(bench, id, 2, ControlRecordType.COMMIT, producer);
        accepted("committing, once more", bumps, before, producer, ended(bench, version, before, true));
        refused("aborting what is committed", Errors.INVALID_TXN_STATE, ended(bench, version, before, false));

        Check.equal("offset in the next transaction", 3L, producer.write(id, "c"));
        before.become(producer.producerId, producer.epoch);
        accepted("aborting", bumps, before, producer, ended(bench, version, producer, false));
        producer.awaitEnd(false);
        Check.equal("committed", List.of("a", "b"), bench.committed(id));
        marked(bench, id, 4, ControlRecordType.ABORT, producer);
        Check.equal("end of the log", 5L, bench.offset(topic, -1));
        refused("committing what is aborted", Errors.INVALID_TXN_STATE, ended(bench, version, before, true));
        if (bumps) {
            before.become(producer.producerId, producer.epoch);
            accepted("aborting what never arrived", true, before, producer, ended(bench, version, producer, false));
            producer.awaitEnd(false);
        }
        return "commit and abort, and both again; before a transaction, unknown ids and epochs refused" + (bumps ? "; a new epoch each time" : "");
    }

    private static EndTxnResponseData ended(Bench bench, short version, TransactionalProducer producer, boolean committed) throws Exception {
        EndTxnRequestData request = new EndTxnRequestData().setTransactionalId(producer.transactionalId).setProducerId(producer.producerId)
            .setProducerEpoch(producer.epoch).setCommitted(committed);
        EndTxnResponseData response = bench.ask(ApiKeys.END_TXN, version, request);
        Check.equal("throttle time", 0, response.throttleTimeMs());
        return response;
    }

    private static void refused(String what, Errors error, EndTxnResponseData answer) {
        Check.error(what, error, answer.errorCode());
        Check.equal(what + ": producer id", -1L, answer.producerId());
        Check.equal(what + ": epoch", (short) -1, answer.producerEpoch());
    }

    /** The producer goes on with the epoch after `before` where the version gives new ones. */
    private static void accepted(String what, boolean bumps, TransactionalProducer before, TransactionalProducer producer, EndTxnResponseData answer) {
        Check.fine(what, answer.errorCode());
        Check.equal(what + ": producer id", bumps ? before.producerId : -1L, answer.producerId());
        Check.equal(what + ": epoch", (short) (bumps ? before.epoch + 1 : -1), answer.producerEpoch());
        if (bumps) producer.become(answer.producerId(), answer.producerEpoch());
    }

    /** The marker at an offset, as Kafka's own reader sees it. */
    private static void marked(Bench bench, Uuid topicId, long offset, ControlRecordType type, TransactionalProducer producer) throws Exception {
        RecordBatch batch = ((MemoryRecords) bench.fetch(topicId, offset, false).records()).batches().iterator().next();
        Check.that("a control batch", batch.isControlBatch() && batch.isTransactional());
        Check.equal("producer id of the marker", producer.producerId, batch.producerId());
        Check.equal("epoch of the marker", producer.epoch, batch.producerEpoch());
        Record record = Check.only("records", batch);
        Check.equal("offset of the marker", offset, record.offset());
        EndTransactionMarker marker = EndTransactionMarker.deserialize(record);
        Check.equal("type of the marker", type, marker.controlType());
        Check.that("coordinator epoch of the marker", marker.coordinatorEpoch() >= 0);
    }

    private static String writeMarkers(Bench bench, short version) throws Exception {
        String topic = Bench.name(ApiKeys.WRITE_TXN_MARKERS, version);
        Uuid id = bench.createTopic(topic, 1);
        TransactionalProducer one = restarted(bench, topic);
        TransactionalProducer two = TransactionalProducer.start(bench, topic + "-two");
        one.write(id, "a");
        two.write(id, "b");
        Check.equal("last stable offset", 0L, bench.fetch(id, 0, true).lastStableOffset());
        Check.equal("an epoch that is over", Errors.INVALID_PRODUCER_EPOCH, written(bench, version, topic, 0, one, marker(one.epoch - 1, false)));
        Check.equal("an unknown partition", Errors.UNKNOWN_TOPIC_OR_PARTITION, written(bench, version, topic, 9, one, marker(one.epoch, false)));
        Check.equal("an unknown topic", Errors.UNKNOWN_TOPIC_OR_PARTITION, written(bench, version, topic + "-unknown", 0, one, marker(one.epoch, false)));
        if (version >= 2) {
            byte bumped = 2;
            Check.equal("the epoch of the transaction, by the rules that end it with the next", Errors.INVALID_PRODUCER_EPOCH,
                written(bench, version, topic, 0, one, marker(one.epoch, false).setTransactionVersion(bumped)));
        }
        Check.equal("last stable offset", 0L, bench.fetch(id, 0, true).lastStableOffset());
        Check.equal("aborting", Errors.NONE, written(bench, version, topic, 0, one, marker(one.epoch, false)));
        marked(bench, id, 2, ControlRecordType.ABORT, one);
        Check.equal("last stable offset", 1L, bench.fetch(id, 0, true).lastStableOffset());
        Check.equal("committing", Errors.NONE, written(bench, version, topic, 0, two, marker(two.epoch, true)));
        marked(bench, id, 3, ControlRecordType.COMMIT, two);
        var stable = bench.fetch(id, 0, true);
        Check.equal("last stable offset", 4L, stable.lastStableOffset());
        Check.equal("aborted", one.producerId, Check.only("aborted transactions", stable.abortedTransactions()).producerId());
        Check.equal("committed", List.of("b"), bench.committed(id));
        TransactionalProducer nobody = one.with("", one.producerId + 1_000_000, 0);
        Check.equal("nothing to end", Errors.NONE, written(bench, version, topic, 0, nobody, marker(0, false).setCoordinatorEpoch(5)));
        Check.equal("a coordinator that is over", Errors.TRANSACTION_COORDINATOR_FENCED,
            written(bench, version, topic, 0, nobody, marker(0, false).setCoordinatorEpoch(4)));
        Check.equal("what the coordinator knows", "Ongoing", one.described().transactionState());
        one.end(false);
        two.end(false);
        return "an abort and a commit past the coordinator; epochs that are over, of producers and coordinators, and unknown partitions refused";
    }

    private static WriteTxnMarkersRequestData.WritableTxnMarker marker(int epoch, boolean committed) {
        return new WriteTxnMarkersRequestData.WritableTxnMarker().setProducerEpoch((short) epoch).setTransactionResult(committed).setCoordinatorEpoch(0);
    }

    private static Errors written(Bench bench, short version, String topic, int partition, TransactionalProducer producer,
                                  WriteTxnMarkersRequestData.WritableTxnMarker marker) throws Exception {
        marker.setProducerId(producer.producerId);
        marker.topics().add(new WriteTxnMarkersRequestData.WritableTxnMarkerTopic().setName(topic).setPartitionIndexes(List.of(partition)));
        WriteTxnMarkersRequestData request = new WriteTxnMarkersRequestData();
        request.markers().add(marker);
        WriteTxnMarkersResponseData response = bench.ask(ApiKeys.WRITE_TXN_MARKERS, version, request);
        var answered = Check.only("markers", response.markers());
        Check.equal("producer id", producer.producerId, answered.producerId());
        var answeredTopic = Check.only("topics", answered.topics());
        Check.equal("topic", topic, answeredTopic.name());
        var result = Check.only("partitions", answeredTopic.partitions());
        Check.equal("partition", partition, result.partitionIndex());
        return Errors.forCode(result.errorCode());
    }

    // ---- as tools see them -----------------------------------------------------------------------------------------------------------

    private static String describeTransactions(Bench bench, short version) throws Exception {
        String topic = Bench.name(ApiKeys.DESCRIBE_TRANSACTIONS, version);
        Uuid id = bench.createTopic(topic, 2);
        TransactionalProducer producer = TransactionalProducer.start(bench, topic);
        var idle = described(bench, version, topic);
        Check.fine("an id without a transaction", idle.errorCode());
        Check.equal("state", "Empty", idle.transactionState());
        Check.equal("topics", 0, idle.topics().size());
        Check.equal("start", -1L, idle.transactionStartTimeMs());

        long begin = System.currentTimeMillis();
        producer.write(id, "a");
        producer.add(topic, 1);
        var open = described(bench, version, topic);
        Check.equal("state", "Ongoing", open.transactionState());
        Check.equal("timeout", TransactionalProducer.TIMEOUT_MS, open.transactionTimeoutMs());
        Check.that("start", open.transactionStartTimeMs() >= begin && open.transactionStartTimeMs() <= System.currentTimeMillis());
        Check.equal("producer id", producer.producerId, open.producerId());
        Check.equal("epoch", producer.epoch, open.producerEpoch());
        Check.equal("partitions", List.of(0, 1), Check.only("topics", open.topics()).partitions().stream().sorted().toList());

        producer.end(true);
        var over = described(bench, version, topic);
        Check.equal("state", "CompleteCommit", over.transactionState());
        Check.equal("epoch", producer.epoch, over.producerEpoch());
        Check.equal("topics", 0, over.topics().size());

        Check.error("an unknown id", Errors.TRANSACTIONAL_ID_NOT_FOUND, described(bench, version, topic + "-unknown").errorCode());
        return "an id before, in and after a transaction, and an unknown one";
    }

    private static DescribeTransactionsResponseData.TransactionState described(Bench bench, short version, String transactionalId) throws Exception {
        DescribeTransactionsRequestData request = new DescribeTransactionsRequestData().setTransactionalIds(List.of(transactionalId));
        DescribeTransactionsResponseData response = bench.ask(ApiKeys.DESCRIBE_TRANSACTIONS, version, request);
        var state = Check.only("transactions", response.transactionStates());
        Check.equal("transactional id", transactionalId, state.transactionalId());
        return state;
    }

    private static String listTransactions(Bench bench, short version) throws Exception {
        String topic = Bench.name(ApiKeys.LIST_TRANSACTIONS, version);
        Uuid id = bench.createTopic(topic, 1);
        TransactionalProducer idle = TransactionalProducer.start(bench, topic + "-idle");
        TransactionalProducer open = TransactionalProducer.start(bench, topic + "-open");
        open.write(id, "a");
        List<Long> both = List.of(idle.producerId, open.producerId);
        ListTransactionsRequestData request = new ListTransactionsRequestData().setProducerIdFilters(both);
        Check.equal("by producer id", Map.of(idle.transactionalId, "Empty", open.transactionalId, "Ongoing"), listed(bench, version, request));
        Check.equal("without a filter", "Ongoing", listed(bench, version, new ListTransactionsRequestData()).get(open.transactionalId));
        Map<String, String> onlyOpen = Map.of(open.transactionalId, "Ongoing");
        Check.equal("by state", onlyOpen, listed(bench, version, request.duplicate().setStateFilters(List.of("Ongoing"))));

        ListTransactionsRequestData strange = new ListTransactionsRequestData().setStateFilters(List.of("Ongoing", "no such"));
        ListTransactionsResponseData response = bench.ask(ApiKeys.LIST_TRANSACTIONS, version, strange);
        Check.fine("an unknown state", response.errorCode());
        Check.equal("unknown states", List.of("no such"), response.unknownStateFilters());

        if (version >= 1) {
            ListTransactionsRequestData ongoing = request.duplicate().setStateFilters(List.of("Ongoing"));
            Bench.eventually("it has been open for a while", () -> listed(bench, version, ongoing.duplicate().setDurationFilter(5)).equals(onlyOpen));
            Check.equal("open for an hour", Map.of(), listed(bench, version, ongoing.duplicate().setDurationFilter(3_600_000)));
        }
        if (version >= 2) {
            Check.equal("by a pattern", onlyOpen, listed(bench, version, new ListTransactionsRequestData().setTransactionalIdPattern(topic + "-o.*")));
            Check.equal("by a pattern of a part", Map.of(), listed(bench, version, new ListTransactionsRequestData().setTransactionalIdPattern(topic)));
            ListTransactionsResponseData refused = bench.ask(ApiKeys.LIST_TRANSACTIONS, version, request.duplicate().setTransactionalIdPattern("("));
            Check.error("a bad pattern", Errors.INVALID_REGULAR_EXPRESSION, refused.errorCode());
        }
        open.end(false);
        Check.equal("over", "CompleteAbort", listed(bench, version, request).get(open.transactionalId));
        return "by producer id and state; an unknown state is named" + (version >= 1 ? "; by duration" : "") + (version >= 2 ? " and pattern" : "");
    }

    /** Transactional id → state. */
    private static Map<String, String> listed(Bench bench, short version, ListTransactionsRequestData request) throws Exception {
        ListTransactionsResponseData response = bench.ask(ApiKeys.LIST_TRANSACTIONS, version, request);
        Check.fine("ListTransactions", response.errorCode());
        return response.transactionStates().stream().collect(Collectors.toMap(each -> each.transactionalId(), each -> each.transactionState()));
    }
}
