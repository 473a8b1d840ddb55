import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.common.requests.FetchMetadata;

/** Producing, fetching, and what is known of offsets, epochs and producers. */
final class RecordCases {
    private static final Uuid UNKNOWN_ID = Uuid.fromString("AAAAAAAAAAAAAAAAAAAAZg");

    private RecordCases() {}

    static void addTo(Map<ApiKeys, Case> cases) {
        cases.put(ApiKeys.PRODUCE, RecordCases::produce);
        cases.put(ApiKeys.FETCH, RecordCases::fetch);
        cases.put(ApiKeys.LIST_OFFSETS, RecordCases::listOffsets);
        cases.put(ApiKeys.DELETE_RECORDS, RecordCases::deleteRecords);
        cases.put(ApiKeys.INIT_PRODUCER_ID, RecordCases::initProducerId);
        cases.put(ApiKeys.OFFSET_FOR_LEADER_EPOCH, RecordCases::offsetForLeaderEpoch);
        cases.put(ApiKeys.DESCRIBE_PRODUCERS, RecordCases::describeProducers);
    }

    // ---- Produce -----------------------------------------------------------------------------------------------------------------

    /** Up to version 2 the connection is closed: they are advertised for the sake of old librdkafka (KAFKA-18659). */
    private static String produce(Bench bench, short version) throws Exception {
        if (version < ApiKeys.PRODUCE.oldestVersion()) {
            try (Wire wire = bench.connect()) {
                wire.postFrame(ByteBuffer.allocate(10).putShort(ApiKeys.PRODUCE.id).putShort(version).putInt(1).putShort((short) -1).flip());
                Check.that("the connection is open", wire.isClosed());
            }
            return "the connection is closed, as by Kafka";
        }
        String topic = Bench.name(ApiKeys.PRODUCE, version);
        Uuid id = bench.createTopic(topic, 2);
        var first = produced(bench, version, topic, id, 0, Bench.records(Compression.NONE, "a", "b", "c"));
        Check.fine("three records", first.errorCode());
        Check.equal("base offset", 0L, first.baseOffset());
        Check.equal("log append time", -1L, first.logAppendTimeMs());
        if (version >= 5) Check.equal("log start offset", 0L, first.logStartOffset());
        long next = 3;
        for (Compression compression : List.of(Compression.gzip().build(), Compression.snappy().build(), Compression.lz4().build())) {
            var answer = produced(bench, version, topic, id, 0, Bench.records(compression, "d", "e"));
            Check.fine(compression.type().name, answer.errorCode());
            Check.equal("base offset", next, answer.baseOffset());
            next += 2;
        }
        var zstd = produced(bench, version, topic, id, 0, Bench.records(Compression.zstd().build(), "f"));
        Check.error("zstd", version < 7 ? Errors.UNSUPPORTED_COMPRESSION_TYPE : Errors.NONE, zstd.errorCode());
        if (version >= 7) Check.equal("base offset", next++, zstd.baseOffset());
        Check.equal("end of the log", next, bench.offset(topic, -1));
        Check.equal("base offset in the other partition", 0L, produced(bench, version, topic, id, 1, Bench.records(Compression.NONE, "x")).baseOffset());

        MemoryRecords damaged = Bench.records(Compression.NONE, "damaged");
        damaged.buffer().put(damaged.sizeInBytes() - 3, (byte) 'D');
        var refused = produced(bench, version, topic, id, 0, damaged);
        Check.error("a batch with a wrong checksum", Errors.CORRUPT_MESSAGE, refused.errorCode());
        Check.equal("its base offset", -1L, refused.baseOffset());
        var unknown = produced(bench, version, topic + "-unknown", UNKNOWN_ID, 0, Bench.records(Compression.NONE, "x"));
        Check.error("an unknown topic", version < 13 ? Errors.UNKNOWN_TOPIC_OR_PARTITION : Errors.UNKNOWN_TOPIC_ID, unknown.errorCode());
        var beyond = produced(bench, version, topic, id, 9, Bench.records(Compression.NONE, "x"));
        Check.error("an unknown partition", Errors.UNKNOWN_TOPIC_OR_PARTITION, beyond.errorCode());
        inTransaction(bench, version, topic, id);
        return "offsets 0 to " + (next - 1) + " in every codec of the version; wrong checksum, unknown topic and partition refused; in a transaction";
    }

    /** From version 12 on a partition becomes part of the transaction by being written to; before, AddPartitionsToTxn says so first (KIP-890). */
    private static void inTransaction(Bench bench, short version, String topic, Uuid id) throws Exception {
        TransactionalProducer producer = TransactionalProducer.start(bench, topic);
        if (version < 12) {
            var early = produced(bench, version, topic, id, 1, producer.transactionalId, producer.records(id, "early"));
            Errors notPart = version < 11 ? Errors.INVALID_TXN_STATE : Errors.TRANSACTION_ABORTABLE;
            Check.error("before the partition is part of the transaction", notPart, early.errorCode());
            producer.initialise();
            producer.add(topic, 1);
        }
        var first = produced(bench, version, topic, id, 1, producer.transactionalId, producer.records(id, "y"));
        Check.fine("in a transaction", first.errorCode());
        Check.equal("base offset", 1L, first.baseOffset());
        Check.equal("partitions of the transaction", List.of(1), producer.partitions(topic));
        var second = produced(bench, version, topic, id, 1, producer.transactionalId, producer.records(id, "z"));
        Check.equal("base offset of the next batch", 2L, second.baseOffset());
        MemoryRecords late = producer.with(topic, producer.producerId, producer.epoch).records(id, "late");
        producer.end(true);
        var refused = produced(bench, version, topic, id, 1, producer.transactionalId, late);
        Check.error("in a transaction that is over", Errors.INVALID_PRODUCER_EPOCH, refused.errorCode());
    }

    private static ProduceResponseData.PartitionProduceResponse produced(Bench bench, short version, String topic, Uuid id, int partition,
                                                                         MemoryRecords records) throws Exception {
        return produced(bench, version, topic, id, partition, null, records);
    }

    private static ProduceResponseData.PartitionProduceResponse produced(Bench bench, short version, String topic, Uuid id, int partition,
                                                                         String transactionalId, MemoryRecords records) throws Exception {
        ProduceRequestData request = new ProduceRequestData().setAcks((short) -1).setTimeoutMs(30_000).setTransactionalId(transactionalId);
        ProduceRequestData.TopicProduceData data = new ProduceRequestData.TopicProduceData();
        if (version < 13) data.setName(topic);
        else data.setTopicId(id);
        data.partitionData().add(new ProduceRequestData.PartitionProduceData().setIndex(partition).setRecords(records));
        request.topicData().add(data);
        ProduceResponseData response = bench.ask(ApiKeys.PRODUCE, version, request);
        Check.equal("throttle time", 0, response.throttleTimeMs());
        var answered = Check.only("topics", response.responses());
        if (version < 13) Check.equal("topic", topic, answered.name());
        else Check.equal("topic id", id, answered.topicId());
        var answer = Check.only("partitions", answered.partitionResponses());
        Check.equal("partition", partition, answer.index());
        return answer;
    }

    // ---- Fetch -------------------------------------------------------------------------------------------------------------------

    private static String fetch(Bench bench, short version) throws Exception {
        String topic = Bench.name(ApiKeys.FETCH, version);
        Uuid id = bench.createTopic(topic, 1);
        bench.produce(id, "a", "b", "c");
        bench.produce(id, Bench.records(Compression.zstd().build(), "d", "e"));
        int epoch = bench.leaderEpoch(topic);

        FetchRequestData request = fetchRequest(version, topic, id, 0, epoch);
        var first = fetched(bench, version, topic, id, request);
        Check.fine("fetching from the beginning", first.errorCode());
        Check.equal("values", List.of("a", "b", "c", "d", "e"), Bench.values(first.records(), 0));
        Check.equal("high watermark", 5L, first.highWatermark());
        Check.equal("last stable offset", 5L, first.lastStableOffset());
        if (version >= 5) Check.equal("log start offset", 0L, first.logStartOffset());
        Check.equal("aborted transactions, reading uncommitted", null, first.abortedTransactions());
        if (version >= 11) Check.equal("preferred replica", -1, first.preferredReadReplica());

        var committed = fetched(bench, version, topic, id, fetchRequest(version, topic, id, 3, epoch).setIsolationLevel((byte) 1));
        Check.equal("values from offset 3", List.of("d", "e"), Bench.values(committed.records(), 3));
        Check.equal("aborted transactions, reading committed", List.of(), committed.abortedTransactions());

        FetchRequestData oneByte = fetchRequest(version, topic, id, 0, epoch).setMaxBytes(1);
        Check.equal("one batch though the limit is a byte", List.of("a", "b", "c"), Bench.values(fetched(bench, version, topic, id, oneByte).records(), 0));

        var beyond = fetched(bench, version, topic, id, fetchRequest(version, topic, id, 99, epoch));
        Check.error("fetching beyond the end", Errors.OFFSET_OUT_OF_RANGE, beyond.errorCode());
        var end = fetched(bench, version, topic, id, fetchRequest(version, topic, id, 5, epoch).setMaxWaitMs(1));
        Check.fine("fetching at the end", end.errorCode());
        Check.equal("bytes at the end", 0, ((MemoryRecords) end.records()).sizeInBytes());
        if (version >= 9) {
            var future = fetched(bench, version, topic, id, fetchRequest(version, topic, id, 0, epoch + 1000));
            Check.error("a leader epoch that is not yet", Errors.UNKNOWN_LEADER_EPOCH, future.errorCode());
        }
        var unknown = fetched(bench, version, topic + "-unknown", UNKNOWN_ID, fetchRequest(version, topic + "-unknown", UNKNOWN_ID, 0, -1));
        Check.error("an unknown topic", version < 13 ? Errors.UNKNOWN_TOPIC_OR_PARTITION : Errors.UNKNOWN_TOPIC_ID, unknown.errorCode());
        if (version >= 7) session(bench, version, topic, id, epoch);
        transactions(bench, version, topic + "-transactions");
        return "five records of two batches; limits, end, out of range; isolation from open and aborted transactions"
            + (version >= 7 ? ", session" : "") + (version >= 9 ? ", epochs" : "");
    }

    /** Who reads committed records sees nothing from the first open transaction on, and is told which of those before it aborted. */
    private static void transactions(Bench bench, short version, String topic) throws Exception {
        Uuid id = bench.createTopic(topic, 1);
        int epoch = bench.leaderEpoch(topic);
        FetchRequestData uncommitted = fetchRequest(version, topic, id, 0, epoch).setMaxWaitMs(1);
        FetchRequestData committed = uncommitted.duplicate().setIsolationLevel((byte) 1);
        TransactionalProducer aborts = TransactionalProducer.start(bench, topic + "-aborts");
        TransactionalProducer commits = TransactionalProducer.start(bench, topic + "-commits");
        bench.produce(id, "a");
        aborts.write(id, "b", "c");
        bench.produce(id, "d");
        commits.write(id, "e");

        var open = fetched(bench, version, topic, id, committed);
        Check.fine("with open transactions", open.errorCode());
        Check.equal("last stable offset", 1L, open.lastStableOffset());
        Check.equal("high watermark", 5L, open.highWatermark());
        Check.equal("values", List.of("a"), Bench.values(open.records(), 0));
        Check.equal("aborted transactions", List.of(), open.abortedTransactions());
        var all = fetched(bench, version, topic, id, uncommitted);
        Check.equal("values, uncommitted ones with them", List.of("a", "b", "c", "d", "e"), Bench.values(all.records(), 0));
        Check.equal("last stable offset", 1L, all.lastStableOffset());

        long abortedId = aborts.producerId;
        aborts.end(false);
        var half = fetched(bench, version, topic, id, committed);
        Check.equal("last stable offset", 4L, half.lastStableOffset());
        Check.equal("values without the aborted ones", List.of("a", "d"), Bench.committed(half));
        commits.end(true);
        var over = fetched(bench, version, topic, id, committed);
        Check.equal("last stable offset", 7L, over.lastStableOffset());
        var transaction = Check.only("aborted transactions", over.abortedTransactions());
        Check.equal("producer id of the aborted transaction", abortedId, transaction.producerId());
        Check.equal("its first offset", 1L, transaction.firstOffset());
        Check.equal("values without the aborted ones", List.of("a", "d", "e"), Bench.committed(over));
        var behind = fetched(bench, version, topic, id, fetchRequest(version, topic, id, 6, epoch).setIsolationLevel((byte) 1));
        Check.equal("aborted transactions behind that", List.of(), behind.abortedTransactions());
        Check.equal("aborted transactions, reading uncommitted", null, fetched(bench, version, topic, id, uncommitted).abortedTransactions());
    }

    /** Incremental sessions (KIP-227): opened, told of nothing new, of a new batch, and closed by an unknown epoch. */
    private static void session(Bench bench, short version, String topic, Uuid id, int epoch) throws Exception {
        FetchRequestData opening = fetchRequest(version, topic, id, 5, epoch).setMaxWaitMs(1).setSessionId(0).setSessionEpoch(FetchMetadata.INITIAL_EPOCH);
        FetchResponseData opened = bench.ask(ApiKeys.FETCH, version, opening);
        Check.fine("opening a session", opened.errorCode());
        Check.that("a session id", opened.sessionId() != 0);
        FetchRequestData asking = new FetchRequestData().setMaxWaitMs(1).setMinBytes(1).setSessionId(opened.sessionId());
        FetchResponseData quiet = bench.ask(ApiKeys.FETCH, version, asking.duplicate().setSessionEpoch(1));
        Check.equal("nothing new", 0, quiet.responses().size());
        Check.equal("session", opened.sessionId(), quiet.sessionId());
        bench.produce(id, "f");
        FetchResponseData told = bench.ask(ApiKeys.FETCH, version, asking.duplicate().setMaxWaitMs(20_000).setSessionEpoch(2));
        var partition = Check.only("partitions", Check.only("topics", told.responses()).partitions());
        Check.equal("the new record", List.of("f"), Bench.values(partition.records(), 5));
        FetchResponseData wrong = bench.ask(ApiKeys.FETCH, version, asking.duplicate().setSessionEpoch(9));
        Check.error("a wrong session epoch", Errors.INVALID_FETCH_SESSION_EPOCH, wrong.errorCode());
        FetchResponseData none = bench.ask(ApiKeys.FETCH, version, asking.duplicate().setSessionId(opened.sessionId() ^ 1).setSessionEpoch(1));
        Check.error("an unknown session", Errors.FETCH_SESSION_ID_NOT_FOUND, none.errorCode());
    }

    private static FetchRequestData fetchRequest(short version, String topic, Uuid id, long offset, int epoch) {
        FetchRequestData request = new FetchRequestData().setMaxWaitMs(5_000).setMinBytes(1).setMaxBytes(1 << 20);
        if (version >= 7) request.setSessionId(0).setSessionEpoch(FetchMetadata.FINAL_EPOCH);
        FetchRequestData.FetchTopic asked = new FetchRequestData.FetchTopic();
        if (version < 13) asked.setTopic(topic);
        else asked.setTopicId(id);
        FetchRequestData.FetchPartition partition = new FetchRequestData.FetchPartition().setPartition(0).setFetchOffset(offset).setPartitionMaxBytes(1 << 20);
        if (version >= 9) partition.setCurrentLeaderEpoch(epoch);
        asked.partitions().add(partition);
        request.topics().add(asked);
        return request;
    }

    private static FetchResponseData.PartitionData fetched(Bench bench, short version, String topic, Uuid id, FetchRequestData request) throws Exception {
        FetchResponseData response = bench.ask(ApiKeys.FETCH, version, request);
        Check.fine("Fetch", response.errorCode());
        var answered = Check.only("topics", response.responses());
        if (version < 13) Check.equal("topic", topic, answered.topic());
        else Check.equal("topic id", id, answered.topicId());
        var answer = Check.only("partitions", answered.partitions());
        Check.equal("partition", 0, answer.partitionIndex());
        return answer;
    }

    // ---- offsets -----------------------------------------------------------------------------------------------------------------

    private static String listOffsets(Bench bench, short version) throws Exception {
        String topic = Bench.name(ApiKeys.LIST_OFFSETS, version);
        Uuid id = bench.createTopic(topic, 1);
        long then = System.currentTimeMillis() - 60_000;
        bench.produce(id, MemoryRecords.withRecords(Compression.NONE, new SimpleRecord(then, Bench.utf8("a")), new SimpleRecord(then + 2000, Bench.utf8("b")),
            new SimpleRecord(then + 1000, Bench.utf8("c"))));
        int epoch = bench.leaderEpoch(topic);
        listed(bench, version, topic, -2, 0, -1, epoch);
        listed(bench, version, topic, -1, 3, -1, epoch);
        listed(bench, version, topic, then + 500, 1, then + 2000, epoch);
        listed(bench, version, topic, then, 0, then, epoch);
        listed(bench, version, topic, then + 2001, -1, -1, -1);
        if (version >= 7) listed(bench, version, topic, -3, 1, then + 2000, epoch);
        else Check.error("the largest timestamp", Errors.UNSUPPORTED_VERSION, listOffset(bench, version, topic, -3).errorCode());
        if (version >= 8) listed(bench, version, topic, -4, 0, -1, epoch);
        if (version >= 9) listed(bench, version, topic, -5, -1, -1, -1);
        if (version >= 11) listed(bench, version, topic, -6, -1, -1, -1);
        Check.error("a timestamp that means nothing", Errors.UNSUPPORTED_VERSION, listOffset(bench, version, topic, -99).errorCode());
        Check.error("an unknown topic", Errors.UNKNOWN_TOPIC_OR_PARTITION, listOffset(bench, version, topic + "-unknown", -1).errorCode());
        TransactionalProducer producer = TransactionalProducer.start(bench, topic);
        producer.write(id, "d");
        // Version 1 knows of no isolation.
        listed(bench, version, topic, -1, version >= 2 ? 3 : 4, -1, epoch);
        producer.end(false);
        listed(bench, version, topic, -1, 5, -1, epoch);
        return "earliest, latest" + (version >= 2 ? ", latest committed" : "") + ", by timestamp"
            + (version >= 7 ? ", largest timestamp" : "") + (version >= 8 ? ", local" : "") + (version >= 9 ? ", tiered" : "");
    }

    private static void listed(Bench bench, short version, String topic, long timestamp, long offset, long found, int epoch) throws Exception {
        var answer = listOffset(bench, version, topic, timestamp);
        Check.fine("timestamp " + timestamp, answer.errorCode());
        Check.equal("offset at " + timestamp, offset, answer.offset());
        Check.equal("timestamp at " + timestamp, found, answer.timestamp());
        if (version >= 4) Check.equal("leader epoch at " + timestamp, epoch, answer.leaderEpoch());
    }

    private static ListOffsetsResponseData.ListOffsetsPartitionResponse listOffset(Bench bench, short version, String topic, long timestamp) throws Exception {
        ListOffsetsRequestData request = new ListOffsetsRequestData().setReplicaId(-1);
        if (version >= 2) request.setIsolationLevel((byte) 1);
        if (version >= 10) request.setTimeoutMs(10_000);
        ListOffsetsRequestData.ListOffsetsTopic asked = new ListOffsetsRequestData.ListOffsetsTopic().setName(topic);
        asked.partitions().add(new ListOffsetsRequestData.ListOffsetsPartition().setPartitionIndex(0).setTimestamp(timestamp));
        request.topics().add(asked);
        ListOffsetsResponseData response = bench.ask(ApiKeys.LIST_OFFSETS, version, request);
        var answered = Check.only("topics", response.topics());
        Check.equal("topic", topic, answered.name());
        return Check.only("partitions", answered.partitions());
    }

    private static String deleteRecords(Bench bench, short version) throws Exception {
        String topic = Bench.name(ApiKeys.DELETE_RECORDS, version);
        Uuid id = bench.createTopic(topic, 1);
        bench.produce(id, "a", "b", "c", "d", "e");
        Check.error("before an offset beyond the end", Errors.OFFSET_OUT_OF_RANGE, deleted(bench, version, topic, 99).errorCode());
        var two = deleted(bench, version, topic, 2);
        Check.fine("before 2", two.errorCode());
        Check.equal("low watermark", 2L, two.lowWatermark());
        Check.equal("earliest offset", 2L, bench.offset(topic, -2));
        Check.equal("low watermark, asked for less", 2L, deleted(bench, version, topic, 1).lowWatermark());
        var all = deleted(bench, version, topic, -1);
        Check.fine("everything", all.errorCode());
        Check.equal("low watermark", 5L, all.lowWatermark());
        Check.equal("earliest offset", 5L, bench.offset(topic, -2));
        Check.equal("end", 5L, bench.offset(topic, -1));
        Check.error("an unknown topic", Errors.UNKNOWN_TOPIC_OR_PARTITION, deleted(bench, version, topic + "-unknown", 0).errorCode());
        return "before 2, before less, everything; beyond the end and an unknown topic refused";
    }

    private static DeleteRecordsResponseData.DeleteRecordsPartitionResult deleted(Bench bench, short version, String topic, long offset) throws Exception {
        DeleteRecordsRequestData request = new DeleteRecordsRequestData().setTimeoutMs(30_000);
        DeleteRecordsRequestData.DeleteRecordsTopic asked = new DeleteRecordsRequestData.DeleteRecordsTopic().setName(topic);
        asked.partitions().add(new DeleteRecordsRequestData.DeleteRecordsPartition().setPartitionIndex(0).setOffset(offset));
        request.topics().add(asked);
        DeleteRecordsResponseData response = bench.ask(ApiKeys.DELETE_RECORDS, version, request);
        return Check.only("partitions", Check.only("topics", response.topics()).partitions());
    }

    private static String offsetForLeaderEpoch(Bench bench, short version) throws Exception {
        String topic = Bench.name(ApiKeys.OFFSET_FOR_LEADER_EPOCH, version);
        Uuid id = bench.createTopic(topic, 1);
        bench.produce(id, "a", "b", "c");
        int epoch = bench.leaderEpoch(topic);
        var answer = endOfEpoch(bench, version, topic, epoch, epoch);
        Check.fine("the epoch in force", answer.errorCode());
        Check.equal("its end", 3L, answer.endOffset());
        Check.equal("epoch", epoch, answer.leaderEpoch());
        Check.error("an epoch of the future", Errors.UNKNOWN_LEADER_EPOCH, endOfEpoch(bench, version, topic, epoch + 1000, epoch).errorCode());
        var future = endOfEpoch(bench, version, topic, epoch, epoch + 1000);
        Check.fine("the end of an epoch that is not yet", future.errorCode());
        Check.equal("its end", -1L, future.endOffset());
        Check.error("an unknown topic", Errors.UNKNOWN_TOPIC_OR_PARTITION, endOfEpoch(bench, version, topic + "-unknown", -1, 0).errorCode());
        return "the end of the epoch in force; epochs of the future";
    }

    private static OffsetForLeaderEpochResponseData.EpochEndOffset endOfEpoch(Bench bench, short version, String topic, int current, int epoch) throws Exception {
        OffsetForLeaderEpochRequestData request = new OffsetForLeaderEpochRequestData();
        if (version >= 3) request.setReplicaId(-1);
        var asked = new OffsetForLeaderEpochRequestData.OffsetForLeaderTopic().setTopic(topic);
        asked.partitions().add(new OffsetForLeaderEpochRequestData.OffsetForLeaderPartition().setPartition(0).setCurrentLeaderEpoch(current).setLeaderEpoch(epoch));
        request.topics().add(asked);
        OffsetForLeaderEpochResponseData response = bench.ask(ApiKeys.OFFSET_FOR_LEADER_EPOCH, version, request);
        return Check.only("partitions", Check.only("topics", response.topics()).partitions());
    }

    // ---- producers ---------------------------------------------------------------------------------------------------------------

    private static String initProducerId(Bench bench, short version) throws Exception {
        InitProducerIdResponseData first = producerId(bench, version);
        InitProducerIdResponseData second = producerId(bench, version);
        Check.that("two producers have two ids", first.producerId() != second.producerId());
        String topic = Bench.name(ApiKeys.INIT_PRODUCER_ID, version);
        Uuid id = bench.createTopic(topic, 1);
        Check.equal("base offset", 0L, bench.produce(id, idempotent(first, 0, "a", "b")));
        Check.equal("base offset of what was sent again", 0L, bench.produce(id, idempotent(first, 0, "a", "b")));
        Check.equal("base offset", 2L, bench.produce(id, idempotent(first, 2, "c")));
        Check.equal("base offset of another producer", 3L, bench.produce(id, idempotent(second, 0, "d")));
        InitProducerIdRequestData half = new InitProducerIdRequestData().setTransactionalId(null).setTransactionTimeoutMs(60_000);
        if (version >= 3) {
            InitProducerIdResponseData refused = bench.ask(ApiKeys.INIT_PRODUCER_ID, version, half.setProducerId(first.producerId()));
            Check.error("an id without an epoch", Errors.INVALID_REQUEST, refused.errorCode());
        }
        InitProducerIdResponseData empty = bench.ask(ApiKeys.INIT_PRODUCER_ID, version, new InitProducerIdRequestData().setTransactionalId(""));
        Check.error("an empty transactional id", Errors.INVALID_REQUEST, empty.errorCode());
        transactional(bench, version, topic, id);
        return "two ids, whose batches are taken once each; of a transactional id a new epoch each time, which ends what is open"
            + (version >= 3 ? "; epochs that are over refused" : "");
    }

    private static void transactional(Bench bench, short version, String topic, Uuid id) throws Exception {
        InitProducerIdRequestData request = new InitProducerIdRequestData().setTransactionalId(topic).setTransactionTimeoutMs(60_000);
        Check.error("a timeout of nothing", Errors.INVALID_TRANSACTION_TIMEOUT,
            initialised(bench, version, request.duplicate().setTransactionTimeoutMs(0)).errorCode());
        Check.error("a timeout beyond the limit", Errors.INVALID_TRANSACTION_TIMEOUT,
            initialised(bench, version, request.duplicate().setTransactionTimeoutMs(Integer.MAX_VALUE)).errorCode());
        InitProducerIdResponseData first = initialised(bench, version, request);
        Check.fine("a transactional id", first.errorCode());
        Check.equal("epoch", (short) 0, first.producerEpoch());
        InitProducerIdResponseData second = initialised(bench, version, request);
        Check.fine("the same transactional id", second.errorCode());
        Check.equal("producer id", first.producerId(), second.producerId());
        Check.equal("epoch", (short) 1, second.producerEpoch());
        short epoch = 1;
        if (version >= 3) {
            InitProducerIdRequestData again = request.duplicate().setProducerId(first.producerId());
            InitProducerIdResponseData third = initialised(bench, version, again.duplicate().setProducerEpoch(epoch));
            Check.fine("with the epoch in force", third.errorCode());
            Check.equal("epoch", ++epoch, third.producerEpoch());
            InitProducerIdResponseData retried = initialised(bench, version, again.duplicate().setProducerEpoch((short) 1));
            Check.fine("the same request again", retried.errorCode());
            Check.equal("epoch", epoch, retried.producerEpoch());
            InitProducerIdResponseData fenced = initialised(bench, version, again.duplicate().setProducerEpoch((short) 0));
            Check.error("with an epoch that is over", version < 4 ? Errors.INVALID_PRODUCER_EPOCH : Errors.PRODUCER_FENCED, fenced.errorCode());
            Check.equal("its producer id", -1L, fenced.producerId());
        }
        if (version >= 6) {
            Check.error("two phases, which are switched off", Errors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
                initialised(bench, version, request.duplicate().setEnable2Pc(true)).errorCode());
        }

        TransactionalProducer producer = TransactionalProducer.start(bench, topic);
        Check.equal("producer id", first.producerId(), producer.producerId);
        producer.write(id, "open");
        InitProducerIdResponseData busy = bench.ask(ApiKeys.INIT_PRODUCER_ID, version, request);
        Check.error("while a transaction is open", Errors.CONCURRENT_TRANSACTIONS, busy.errorCode());
        InitProducerIdResponseData last = initialised(bench, version, request);
        Check.fine("after that", last.errorCode());
        Check.equal("producer id", first.producerId(), last.producerId());
        Check.that("an epoch above that of the transaction", last.producerEpoch() > producer.epoch);
        Check.equal("end of the log, with the marker of the abort", 6L, bench.offset(topic, -1));
        Check.equal("committed", List.of("a", "b", "c", "d"), bench.committed(id));
    }

    /** What comes when the coordinator no longer asks to come again. */
    private static InitProducerIdResponseData initialised(Bench bench, short version, InitProducerIdRequestData request) throws Exception {
        InitProducerIdResponseData[] response = new InitProducerIdResponseData[1];
        Bench.eventually("a producer id for " + request.transactionalId(), () -> {
            response[0] = bench.ask(ApiKeys.INIT_PRODUCER_ID, version, request);
            return !TransactionalProducer.isPassing(Errors.forCode(response[0].errorCode()));
        });
        return response[0];
    }

    private static InitProducerIdResponseData producerId(Bench bench, short version) throws Exception {
        InitProducerIdResponseData[] response = new InitProducerIdResponseData[1];
        Bench.eventually("a producer id", () -> {
            response[0] = bench.ask(ApiKeys.INIT_PRODUCER_ID, version, new InitProducerIdRequestData().setTransactionalId(null).setTransactionTimeoutMs(60_000));
            return Errors.forCode(response[0].errorCode()) != Errors.COORDINATOR_LOAD_IN_PROGRESS;
        });
        Check.fine("InitProducerId", response[0].errorCode());
        Check.that("an id", response[0].producerId() >= 0);
        Check.equal("epoch", (short) 0, response[0].producerEpoch());
        return response[0];
    }

    private static MemoryRecords idempotent(InitProducerIdResponseData producer, int sequence, String... values) {
        SimpleRecord[] records = new SimpleRecord[values.length];
        for (int i = 0; i < values.length; i++) records[i] = new SimpleRecord(System.currentTimeMillis(), Bench.utf8(values[i]));
        return MemoryRecords.withIdempotentRecords(Compression.NONE, producer.producerId(), producer.producerEpoch(), sequence, records);
    }

    private static String describeProducers(Bench bench, short version) throws Exception {
        String topic = Bench.name(ApiKeys.DESCRIBE_PRODUCERS, version);
        Uuid id = bench.createTopic(topic, 1);
        InitProducerIdResponseData producer = producerId(bench, bench.newest.get(ApiKeys.INIT_PRODUCER_ID));
        bench.produce(id, idempotent(producer, 0, "a", "b"));
        var state = Check.only("producers", described(bench, version, topic, 0).activeProducers());
        Check.equal("producer id", producer.producerId(), state.producerId());
        Check.equal("epoch", 0, state.producerEpoch());
        Check.equal("last sequence", 1, state.lastSequence());
        Check.that("last timestamp", state.lastTimestamp() > 0);
        Check.equal("open transaction", -1L, state.currentTxnStartOffset());
        Check.error("an unknown partition", Errors.UNKNOWN_TOPIC_OR_PARTITION, described(bench, version, topic, 9).errorCode());

        TransactionalProducer transactional = TransactionalProducer.start(bench, topic);
        transactional.write(id, "c");
        transactional.write(id, "d");
        var open = ofProducer(bench, version, topic, transactional);
        Check.equal("epoch", (int) transactional.epoch, open.producerEpoch());
        Check.equal("last sequence", 1, open.lastSequence());
        Check.equal("coordinator epoch", -1, open.coordinatorEpoch());
        Check.equal("open transaction", 2L, open.currentTxnStartOffset());
        transactional.end(true);
        var over = ofProducer(bench, version, topic, transactional);
        Check.equal("epoch", (int) transactional.epoch, over.producerEpoch());
        Check.equal("last sequence", -1, over.lastSequence());
        Check.that("coordinator epoch", over.coordinatorEpoch() >= 0);
        Check.equal("open transaction", -1L, over.currentTxnStartOffset());
        return "the producer of a partition; one in a transaction, and after it";
    }

    private static DescribeProducersResponseData.ProducerState ofProducer(Bench bench, short version, String topic,
                                                                          TransactionalProducer producer) throws Exception {
        var producers = described(bench, version, topic, 0).activeProducers();
        return producers.stream().filter(each -> each.producerId() == producer.producerId).findFirst().orElseThrow();
    }

    private static DescribeProducersResponseData.PartitionResponse described(Bench bench, short version, String topic, int partition) throws Exception {
        DescribeProducersRequestData request = new DescribeProducersRequestData();
        request.topics().add(new DescribeProducersRequestData.TopicRequest().setName(topic).setPartitionIndexes(List.of(partition)));
        DescribeProducersResponseData response = bench.ask(ApiKeys.DESCRIBE_PRODUCERS, version, request);
        return Check.only("partitions", Check.only("topics", response.topics()).partitions());
    }
}
