import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.Errors;

/** Topics and partitions: made, described, grown, moved, deleted. */
final class TopicCases {
    private TopicCases() {}

    static void addTo(Map<ApiKeys, Case> cases) {
        cases.put(ApiKeys.METADATA, TopicCases::metadata);
        cases.put(ApiKeys.CREATE_TOPICS, TopicCases::createTopics);
        cases.put(ApiKeys.DELETE_TOPICS, TopicCases::deleteTopics);
        cases.put(ApiKeys.CREATE_PARTITIONS, TopicCases::createPartitions);
        cases.put(ApiKeys.DESCRIBE_TOPIC_PARTITIONS, TopicCases::describeTopicPartitions);
        cases.put(ApiKeys.ELECT_LEADERS, TopicCases::electLeaders);
        cases.put(ApiKeys.ALTER_PARTITION_REASSIGNMENTS, TopicCases::alterPartitionReassignments);
        cases.put(ApiKeys.LIST_PARTITION_REASSIGNMENTS, TopicCases::listPartitionReassignments);
        cases.put(ApiKeys.ALTER_REPLICA_LOG_DIRS, TopicCases::alterReplicaLogDirs);
        cases.put(ApiKeys.DESCRIBE_LOG_DIRS, TopicCases::describeLogDirs);
    }

    // ---- Metadata ----------------------------------------------------------------------------------------------------------------

    private static String metadata(Bench bench, short version) throws Exception {
        String topic = Bench.name(ApiKeys.METADATA, version);
        Uuid id = bench.createTopic(topic, 3);
        MetadataRequestData all = new MetadataRequestData().setTopics(version == 0 ? List.of() : null);
        MetadataResponseData everything = bench.ask(ApiKeys.METADATA, version, all);
        Check.that("all topics hold the one that was made", everything.topics().find(topic) != null);

        MetadataRequestData request = new MetadataRequestData();
        if (version >= 4) request.setAllowAutoTopicCreation(false);
        request.topics().add(new MetadataRequestData.MetadataRequestTopic().setName(topic));
        MetadataResponseData response = bench.ask(ApiKeys.METADATA, version, request);
        var broker = Check.only("brokers", response.brokers());
        Check.equal("port", bench.port, broker.port());
        if (version >= 1) Check.equal("controller", broker.nodeId(), response.controllerId());
        if (version >= 2) Check.that("a cluster id", response.clusterId() != null && !response.clusterId().isEmpty());
        var described = Check.only("topics", response.topics());
        Check.fine(topic, described.errorCode());
        Check.equal("name", topic, described.name());
        Check.equal("internal", false, described.isInternal());
        if (version >= 10) Check.equal("id", id, described.topicId());
        TreeSet<Integer> partitions = new TreeSet<>();
        for (var partition : described.partitions()) {
            Check.fine("partition", partition.errorCode());
            Check.equal("leader", broker.nodeId(), partition.leaderId());
            Check.equal("replicas", List.of(broker.nodeId()), partition.replicaNodes());
            Check.equal("in-sync replicas", List.of(broker.nodeId()), partition.isrNodes());
            Check.equal("offline replicas", List.of(), partition.offlineReplicas());
            if (version >= 7) Check.that("a leader epoch", partition.leaderEpoch() >= 0);
            partitions.add(partition.partitionIndex());
        }
        Check.equal("partitions", new TreeSet<>(List.of(0, 1, 2)), partitions);
        Check.equal("operations, not asked for", Integer.MIN_VALUE, described.topicAuthorizedOperations());
        if (version >= 8) {
            MetadataRequestData asking = request.duplicate().setIncludeTopicAuthorizedOperations(true);
            if (version <= 10) asking.setIncludeClusterAuthorizedOperations(true);
            MetadataResponseData told = bench.ask(ApiKeys.METADATA, version, asking);
            Check.that("operations of the topic", Check.only("topics", told.topics()).topicAuthorizedOperations() != Integer.MIN_VALUE);
            if (version <= 10) Check.that("operations of the cluster", told.clusterAuthorizedOperations() != Integer.MIN_VALUE);
        }
        if (version >= 12) {
            MetadataRequestData byId = new MetadataRequestData().setAllowAutoTopicCreation(false);
            byId.topics().add(new MetadataRequestData.MetadataRequestTopic().setName(null).setTopicId(id));
            MetadataResponseData found = bench.ask(ApiKeys.METADATA, version, byId);
            Check.equal("the topic by its id", topic, Check.only("topics", found.topics()).name());
        }
        if (version >= 4) {
            request.topics().get(0).setName(topic + "-unknown");
            MetadataResponseData unknown = bench.ask(ApiKeys.METADATA, version, request);
            Check.error("an unknown topic", Errors.UNKNOWN_TOPIC_OR_PARTITION, Check.only("topics", unknown.topics()).errorCode());
        }
        if (version >= 1) {
            MetadataResponseData none = bench.ask(ApiKeys.METADATA, version, new MetadataRequestData());
            Check.equal("no topics, asked for none", 0, none.topics().size());
        }
        return "a topic of three partitions by name" + (version >= 12 ? " and id" : "") + ", all topics, none";
    }

    // ---- making and deleting -----------------------------------------------------------------------------------------------------

    private static String createTopics(Bench bench, short version) throws Exception {
        String topic = Bench.name(ApiKeys.CREATE_TOPICS, version);
        var dry = created(bench, version, topic, 3, true, "retention.ms", "3600000");
        Check.fine("to try", dry.errorCode());
        Check.error("what was only tried", Errors.UNKNOWN_TOPIC_OR_PARTITION, bench.describe(topic).errorCode());
        var result = created(bench, version, topic, 3, false, "retention.ms", "3600000");
        Check.fine("creating", result.errorCode());
        if (version >= 5) {
            Check.equal("partitions", 3, result.numPartitions());
            Check.equal("replication factor", (short) 1, result.replicationFactor());
            var config = result.configs().stream().filter(each -> each.name().equals("retention.ms")).findFirst().orElseThrow();
            Check.equal("retention.ms", "3600000", config.value());
            Check.equal("source of retention.ms", (byte) 1, config.configSource());
        }
        Bench.eventually("the topic is known", () -> bench.describe(topic).errorCode() == 0);
        Check.equal("partitions", 3, bench.describe(topic).partitions().size());
        if (version >= 7) Check.equal("id", bench.describe(topic).topicId(), result.topicId());
        Check.equal("config", "3600000", bench.config(Bench.TOPIC, topic, "retention.ms").value());
        var again = created(bench, version, topic, 3, false, "retention.ms", "1");
        Check.error("a topic that exists", Errors.TOPIC_ALREADY_EXISTS, again.errorCode());
        Check.that("the message says so", again.errorMessage().contains("already exists"));
        Check.error("a bad name", Errors.INVALID_TOPIC_EXCEPTION, created(bench, version, "no good", 1, false, "retention.ms", "1").errorCode());
        Check.error("no partitions", Errors.INVALID_PARTITIONS, created(bench, version, topic + "-0", 0, false, "retention.ms", "1").errorCode());
        Check.error("an unknown config", Errors.INVALID_CONFIG, created(bench, version, topic + "-1", 1, false, "no.such", "1").errorCode());
        if (version >= 4) Check.fine("default partitions", created(bench, version, topic + "-d", -1, false, "retention.ms", "3600000").errorCode());
        return "three partitions with a config; tried only; existing, bad name, bad numbers and unknown config refused";
    }

    private static CreateTopicsResponseData.CreatableTopicResult created(Bench bench, short version, String topic, int partitions, boolean tryOnly, String config,
                                                                         String value) throws Exception {
        CreateTopicsRequestData request = new CreateTopicsRequestData().setTimeoutMs(30_000).setValidateOnly(tryOnly);
        var asked = new CreateTopicsRequestData.CreatableTopic().setName(topic).setNumPartitions(partitions).setReplicationFactor((short) 1);
        asked.configs().add(new CreateTopicsRequestData.CreatableTopicConfig().setName(config).setValue(value));
        request.topics().add(asked);
        CreateTopicsResponseData response = bench.ask(ApiKeys.CREATE_TOPICS, version, request);
        var result = Check.only("topics", response.topics());
        Check.equal("name", topic, result.name());
        return result;
    }

    private static String deleteTopics(Bench bench, short version) throws Exception {
        String topic = Bench.name(ApiKeys.DELETE_TOPICS, version);
        bench.createTopic(topic, 1);
        var gone = deleted(bench, version, topic, null);
        Check.fine("deleting", gone.errorCode());
        Check.equal("name", topic, gone.name());
        Bench.eventually("it is gone", () -> Errors.forCode(bench.describe(topic).errorCode()) == Errors.UNKNOWN_TOPIC_OR_PARTITION);
        Check.error("deleting it again", Errors.UNKNOWN_TOPIC_OR_PARTITION, deleted(bench, version, topic, null).errorCode());
        if (version >= 6) {
            Uuid id = bench.createTopic(topic, 1);
            var byId = deleted(bench, version, null, id);
            Check.fine("deleting by id", byId.errorCode());
            Check.equal("name", topic, byId.name());
            Check.equal("id", id, byId.topicId());
            Bench.eventually("it is gone", () -> Errors.forCode(bench.describe(topic).errorCode()) == Errors.UNKNOWN_TOPIC_OR_PARTITION);
            Check.error("an id that is gone", Errors.UNKNOWN_TOPIC_ID, deleted(bench, version, null, id).errorCode());
        }
        return version >= 6 ? "by name and by id; unknown ones refused" : "by name; an unknown one refused";
    }

    private static DeleteTopicsResponseData.DeletableTopicResult deleted(Bench bench, short version, String topic, Uuid id) throws Exception {
        DeleteTopicsRequestData request = new DeleteTopicsRequestData().setTimeoutMs(30_000);
        if (version < 6) request.topicNames().add(topic);
        else request.topics().add(new DeleteTopicsRequestData.DeleteTopicState().setName(topic).setTopicId(id == null ? Uuid.ZERO_UUID : id));
        DeleteTopicsResponseData response = bench.ask(ApiKeys.DELETE_TOPICS, version, request);
        return Check.only("topics", response.responses());
    }

    private static String createPartitions(Bench bench, short version) throws Exception {
        String topic = Bench.name(ApiKeys.CREATE_PARTITIONS, version);
        bench.createTopic(topic, 2);
        Check.fine("tried only", grown(bench, version, topic, 5, true));
        Check.equal("partitions", 2, bench.describe(topic).partitions().size());
        Check.fine("three", grown(bench, version, topic, 3, false));
        Bench.eventually("three partitions", () -> bench.describe(topic).partitions().size() == 3);
        Check.error("fewer", Errors.INVALID_PARTITIONS, grown(bench, version, topic, 1, false));
        Check.error("as many", Errors.INVALID_PARTITIONS, grown(bench, version, topic, 3, false));
        Check.error("an unknown topic", Errors.UNKNOWN_TOPIC_OR_PARTITION, grown(bench, version, topic + "-unknown", 3, false));
        return "from two to three; tried only; fewer and an unknown topic refused";
    }

    private static short grown(Bench bench, short version, String topic, int count, boolean tryOnly) throws Exception {
        CreatePartitionsRequestData request = new CreatePartitionsRequestData().setTimeoutMs(30_000).setValidateOnly(tryOnly);
        request.topics().add(new CreatePartitionsRequestData.CreatePartitionsTopic().setName(topic).setCount(count).setAssignments(null));
        CreatePartitionsResponseData response = bench.ask(ApiKeys.CREATE_PARTITIONS, version, request);
        var result = Check.only("topics", response.results());
        Check.equal("name", topic, result.name());
        return result.errorCode();
    }

    private static String describeTopicPartitions(Bench bench, short version) throws Exception {
        String topic = Bench.name(ApiKeys.DESCRIBE_TOPIC_PARTITIONS, version);
        Uuid id = bench.createTopic(topic, 5);
        DescribeTopicPartitionsRequestData request = new DescribeTopicPartitionsRequestData().setResponsePartitionLimit(2);
        request.topics().add(new DescribeTopicPartitionsRequestData.TopicRequest().setName(topic));
        List<Integer> found = new ArrayList<>();
        int pages = 0;
        for (DescribeTopicPartitionsResponseData.Cursor next = null; pages == 0 || next != null; pages++) {
            Check.that("pages end", pages < 5);
            if (next != null) request.setCursor(new DescribeTopicPartitionsRequestData.Cursor().setTopicName(next.topicName()).setPartitionIndex(next.partitionIndex()));
            DescribeTopicPartitionsResponseData response = bench.ask(ApiKeys.DESCRIBE_TOPIC_PARTITIONS, version, request);
            var described = Check.only("topics", response.topics());
            Check.fine(topic, described.errorCode());
            Check.equal("id", id, described.topicId());
            for (var partition : described.partitions()) found.add(partition.partitionIndex());
            next = response.nextCursor();
        }
        Check.equal("partitions", List.of(0, 1, 2, 3, 4), found);
        Check.equal("pages", 3, pages);
        DescribeTopicPartitionsRequestData unknown = new DescribeTopicPartitionsRequestData();
        unknown.topics().add(new DescribeTopicPartitionsRequestData.TopicRequest().setName(topic + "-unknown"));
        DescribeTopicPartitionsResponseData response = bench.ask(ApiKeys.DESCRIBE_TOPIC_PARTITIONS, version, unknown);
        Check.error("an unknown topic", Errors.UNKNOWN_TOPIC_OR_PARTITION, Check.only("topics", response.topics()).errorCode());
        return "five partitions on three pages";
    }

    // ---- leaders and replicas ----------------------------------------------------------------------------------------------------

    private static String electLeaders(Bench bench, short version) throws Exception {
        String topic = Bench.name(ApiKeys.ELECT_LEADERS, version);
        bench.createTopic(topic, 2);
        ElectLeadersRequestData request = new ElectLeadersRequestData().setTimeoutMs(30_000);
        request.topicPartitions().add(new ElectLeadersRequestData.TopicPartitions().setTopic(topic).setPartitions(List.of(0, 1)));
        ElectLeadersResponseData response = bench.ask(ApiKeys.ELECT_LEADERS, version, request);
        Check.fine("ElectLeaders", response.errorCode());
        var result = Check.only("topics", response.replicaElectionResults());
        Check.equal("partitions", 2, result.partitionResult().size());
        for (var partition : result.partitionResult()) Check.error("an election without need", Errors.ELECTION_NOT_NEEDED, partition.errorCode());
        ElectLeadersResponseData all = bench.ask(ApiKeys.ELECT_LEADERS, version, new ElectLeadersRequestData().setTopicPartitions(null));
        Check.fine("all partitions", all.errorCode());
        Check.that("every topic is named", all.replicaElectionResults().stream().anyMatch(each -> each.topic().equals(topic)));
        Check.that("no partition had an election", all.replicaElectionResults().stream().allMatch(each -> each.partitionResult().isEmpty()));
        return "no election is needed";
    }

    private static String alterPartitionReassignments(Bench bench, short version) throws Exception {
        String topic = Bench.name(ApiKeys.ALTER_PARTITION_REASSIGNMENTS, version);
        bench.createTopic(topic, 1);
        Check.fine("to where it is", reassigned(bench, version, topic, List.of(bench.nodeId())));
        Check.error("to an unknown broker", Errors.INVALID_REPLICA_ASSIGNMENT, reassigned(bench, version, topic, List.of(bench.nodeId() + 1000)));
        Check.error("cancelling what is not under way", Errors.NO_REASSIGNMENT_IN_PROGRESS, reassigned(bench, version, topic, null));
        Check.error("an unknown topic", Errors.UNKNOWN_TOPIC_OR_PARTITION, reassigned(bench, version, topic + "-unknown", List.of(bench.nodeId())));
        return "to where it is; elsewhere, and a cancellation of nothing, refused";
    }

    private static short reassigned(Bench bench, short version, String topic, List<Integer> replicas) throws Exception {
        AlterPartitionReassignmentsRequestData request = new AlterPartitionReassignmentsRequestData();
        var asked = new AlterPartitionReassignmentsRequestData.ReassignableTopic().setName(topic);
        asked.partitions().add(new AlterPartitionReassignmentsRequestData.ReassignablePartition().setPartitionIndex(0).setReplicas(replicas));
        request.topics().add(asked);
        AlterPartitionReassignmentsResponseData response = bench.ask(ApiKeys.ALTER_PARTITION_REASSIGNMENTS, version, request);
        Check.fine("AlterPartitionReassignments", response.errorCode());
        return Check.only("partitions", Check.only("topics", response.responses()).partitions()).errorCode();
    }

    private static String listPartitionReassignments(Bench bench, short version) throws Exception {
        String topic = Bench.name(ApiKeys.LIST_PARTITION_REASSIGNMENTS, version);
        bench.createTopic(topic, 1);
        ListPartitionReassignmentsResponseData all = bench.ask(ApiKeys.LIST_PARTITION_REASSIGNMENTS, version, new ListPartitionReassignmentsRequestData());
        Check.fine("all", all.errorCode());
        Check.equal("all", List.of(), all.topics());
        var asked = new ListPartitionReassignmentsRequestData.ListPartitionReassignmentsTopics().setName(topic).setPartitionIndexes(List.of(0));
        ListPartitionReassignmentsResponseData one = bench.ask(ApiKeys.LIST_PARTITION_REASSIGNMENTS, version, new ListPartitionReassignmentsRequestData().setTopics(List.of(asked)));
        Check.equal("of one topic", List.of(), one.topics());
        return "nothing is being moved";
    }

    private static String alterReplicaLogDirs(Bench bench, short version) throws Exception {
        String topic = Bench.name(ApiKeys.ALTER_REPLICA_LOG_DIRS, version);
        bench.createTopic(topic, 1);
        DescribeLogDirsResponseData dirs = bench.ask(ApiKeys.DESCRIBE_LOG_DIRS, new DescribeLogDirsRequestData().setTopics(null));
        String dir = Check.only("directories", dirs.results()).logDir();
        Check.fine("to where it is", moved(bench, version, topic, dir));
        Check.error("to an unknown directory", Errors.LOG_DIR_NOT_FOUND, moved(bench, version, topic, "/no/such/directory"));
        return "to where it is; an unknown directory refused";
    }

    private static short moved(Bench bench, short version, String topic, String dir) throws Exception {
        AlterReplicaLogDirsRequestData request = new AlterReplicaLogDirsRequestData();
        var asked = new AlterReplicaLogDirsRequestData.AlterReplicaLogDir().setPath(dir);
        asked.topics().add(new AlterReplicaLogDirsRequestData.AlterReplicaLogDirTopic().setName(topic).setPartitions(List.of(0)));
        request.dirs().add(asked);
        AlterReplicaLogDirsResponseData response = bench.ask(ApiKeys.ALTER_REPLICA_LOG_DIRS, version, request);
        return Check.only("partitions", Check.only("topics", response.results()).partitions()).errorCode();
    }

    private static String describeLogDirs(Bench bench, short version) throws Exception {
        String topic = Bench.name(ApiKeys.DESCRIBE_LOG_DIRS, version);
        Uuid id = bench.createTopic(topic, 2);
        bench.produce(id, "a", "b", "c");
        DescribeLogDirsRequestData request = new DescribeLogDirsRequestData();
        request.topics().add(new DescribeLogDirsRequestData.DescribableLogDirTopic().setTopic(topic).setPartitions(List.of(0)));
        DescribeLogDirsResponseData response = bench.ask(ApiKeys.DESCRIBE_LOG_DIRS, version, request);
        Check.fine("DescribeLogDirs", response.errorCode());
        var dir = Check.only("directories", response.results());
        Check.fine("the directory", dir.errorCode());
        var described = Check.only("topics", dir.topics());
        Check.equal("topic", topic, described.name());
        var partition = Check.only("partitions", described.partitions());
        Check.that("a size", partition.partitionSize() > 0);
        Check.equal("lag", 0L, partition.offsetLag());
        Check.equal("future replica", false, partition.isFutureKey());
        DescribeLogDirsResponseData all = bench.ask(ApiKeys.DESCRIBE_LOG_DIRS, version, new DescribeLogDirsRequestData().setTopics(null));
        Check.that("all topics hold it", Check.only("directories", all.results()).topics().stream().anyMatch(each -> each.name().equals(topic)));
        return "the size of a partition, and of all";
    }
}
