import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.Errors;

/**
 * Groups of the classic protocol. The four APIs of membership are asked in one flow: two members join, are assigned, report, commit and
 * leave; the API under test speaks the version under test, the others the newest.
 */
final class GroupCases {
    private static final Uuid UNKNOWN_ID = Uuid.fromString("AAAAAAAAAAAAAAAAAAAAZg");
    /** The metadata of a consumer that subscribes to one topic, as the Java consumer writes it (version, topics, no user data). */
    private static final byte[] SUBSCRIPTION = {0, 0, 0, 0, 0, 1, 0, 1, 't', -1, -1, -1, -1};

    private GroupCases() {}

    static void addTo(Map<ApiKeys, Case> cases) {
        for (ApiKeys api : List.of(ApiKeys.JOIN_GROUP, ApiKeys.SYNC_GROUP, ApiKeys.HEARTBEAT, ApiKeys.LEAVE_GROUP)) {
            cases.put(api, (bench, version) -> flow(bench, api, version));
        }
        cases.put(ApiKeys.OFFSET_COMMIT, GroupCases::offsetCommit);
        cases.put(ApiKeys.TXN_OFFSET_COMMIT, GroupCases::txnOffsetCommit);
        cases.put(ApiKeys.OFFSET_FETCH, GroupCases::offsetFetch);
        cases.put(ApiKeys.OFFSET_DELETE, GroupCases::offsetDelete);
        cases.put(ApiKeys.DESCRIBE_GROUPS, GroupCases::describeGroups);
        cases.put(ApiKeys.LIST_GROUPS, GroupCases::listGroups);
        cases.put(ApiKeys.DELETE_GROUPS, GroupCases::deleteGroups);
        cases.put(ApiKeys.FIND_COORDINATOR, GroupCases::findCoordinator);
    }

    // ---- a member ----------------------------------------------------------------------------------------------------------------

    /** A member on a connection of its own, which speaks the version under test of one API and the newest of all others. */
    private static final class Member implements AutoCloseable {
        final Bench bench;
        final Wire wire;
        final String group;
        final ApiKeys tested;
        final short version;
        String id = "";
        int generation = -1;

        Member(Bench bench, String group, ApiKeys tested, short version) throws Exception {
            this.bench = bench;
            this.wire = bench.connect();
            this.group = group;
            this.tested = tested;
            this.version = version;
        }

        short versionOf(ApiKeys api) {
            return api == tested ? version : bench.newest.get(api);
        }

        JoinGroupRequestData joinRequest(String instance) {
            short at = versionOf(ApiKeys.JOIN_GROUP);
            JoinGroupRequestData request = new JoinGroupRequestData().setGroupId(group).setSessionTimeoutMs(30_000).setMemberId(id).setProtocolType("consumer");
            if (at >= 1) request.setRebalanceTimeoutMs(30_000);
            if (at >= 5) request.setGroupInstanceId(instance);
            if (at >= 8) request.setReason("every version");
            request.protocols().add(new JoinGroupRequestData.JoinGroupRequestProtocol().setName("range").setMetadata(SUBSCRIPTION));
            return request;
        }

        /** Gets a member id first where the version asks for that (KIP-394), then sends the join that waits for the rebalance. */
        void postJoin() throws Exception {
            short at = versionOf(ApiKeys.JOIN_GROUP);
            if (at >= 4 && id.isEmpty()) {
                JoinGroupResponseData first = wire.ask(ApiKeys.JOIN_GROUP, at, joinRequest(null));
                Check.error("a join without a member id", Errors.MEMBER_ID_REQUIRED, first.errorCode());
                Check.that("a member id", !first.memberId().isEmpty());
                id = first.memberId();
            }
            wire.post(ApiKeys.JOIN_GROUP, at, joinRequest(null));
        }

        JoinGroupResponseData joined(int expectedGeneration) throws Exception {
            short at = versionOf(ApiKeys.JOIN_GROUP);
            JoinGroupResponseData response = wire.answer(ApiKeys.JOIN_GROUP, at);
            Check.fine("JoinGroup", response.errorCode());
            Check.equal("generation", expectedGeneration, response.generationId());
            Check.equal("protocol", "range", response.protocolName());
            if (at >= 7) Check.equal("protocol type", "consumer", response.protocolType());
            Check.equal("skip the assignment", false, response.skipAssignment());
            if (!id.isEmpty()) Check.equal("member id", id, response.memberId());
            id = response.memberId();
            generation = response.generationId();
            return response;
        }

        void postSync(Map<String, String> assignments) throws Exception {
            short at = versionOf(ApiKeys.SYNC_GROUP);
            SyncGroupRequestData request = new SyncGroupRequestData().setGroupId(group).setGenerationId(generation).setMemberId(id);
            if (at >= 5) request.setProtocolType("consumer").setProtocolName("range");
            assignments.forEach((member, text) -> request.assignments().add(
                new SyncGroupRequestData.SyncGroupRequestAssignment().setMemberId(member).setAssignment(Bench.utf8(text))));
            wire.post(ApiKeys.SYNC_GROUP, at, request);
        }

        void synced(String assignment) throws Exception {
            short at = versionOf(ApiKeys.SYNC_GROUP);
            SyncGroupResponseData response = wire.answer(ApiKeys.SYNC_GROUP, at);
            Check.fine("SyncGroup", response.errorCode());
            Check.equal("assignment", assignment, Bench.text(response.assignment()));
            if (at >= 5) {
                Check.equal("protocol type", "consumer", response.protocolType());
                Check.equal("protocol", "range", response.protocolName());
            }
        }

        Errors heartbeat(int generation) throws Exception {
            HeartbeatRequestData request = new HeartbeatRequestData().setGroupId(group).setGenerationId(generation).setMemberId(id);
            HeartbeatResponseData response = wire.ask(ApiKeys.HEARTBEAT, versionOf(ApiKeys.HEARTBEAT), request);
            return Errors.forCode(response.errorCode());
        }

        Errors leave() throws Exception {
            short at = versionOf(ApiKeys.LEAVE_GROUP);
            LeaveGroupRequestData request = new LeaveGroupRequestData().setGroupId(group);
            if (at < 3) {
                request.setMemberId(id);
            } else {
                var member = new LeaveGroupRequestData.MemberIdentity().setMemberId(id);
                if (at >= 5) member.setReason("done");
                request.members().add(member);
            }
            LeaveGroupResponseData response = wire.ask(ApiKeys.LEAVE_GROUP, at, request);
            if (at < 3) return Errors.forCode(response.errorCode());
            Check.fine("LeaveGroup", response.errorCode());
            var left = Check.only("members", response.members());
            Check.equal("member id", id, left.memberId());
            return Errors.forCode(left.errorCode());
        }

        @Override
        public void close() throws IOException {
            wire.close();
        }
    }

    /** A group of one member that is stable. */
    private static Member stable(Bench bench, String group, ApiKeys tested, short version) throws Exception {
        Member member = new Member(bench, group, tested, version);
        member.postJoin();
        JoinGroupResponseData joined = member.joined(1);
        Check.equal("leader", member.id, joined.leader());
        var only = Check.only("members", joined.members());
        Check.equal("member", member.id, only.memberId());
        Check.equal("metadata", latin(SUBSCRIPTION), latin(only.metadata()));
        member.postSync(Map.of(member.id, "all of it"));
        member.synced("all of it");
        return member;
    }

    private static String latin(byte[] bytes) {
        return new String(bytes, StandardCharsets.ISO_8859_1);
    }

    private static String flow(Bench bench, ApiKeys tested, short version) throws Exception {
        String group = Bench.name(tested, version);
        String topic = group;
        Uuid topicId = bench.createTopic(topic, 1);
        try (Member one = stable(bench, group, tested, version); Member two = new Member(bench, group, tested, version)) {
            Check.equal("heartbeat", Errors.NONE, one.heartbeat(1));
            Check.equal("heartbeat of another generation", Errors.ILLEGAL_GENERATION, one.heartbeat(7));

            two.postJoin();
            Bench.eventually("the first member learns of the second", () -> one.heartbeat(1) == Errors.REBALANCE_IN_PROGRESS);
            one.postJoin();
            JoinGroupResponseData first = one.joined(2);
            JoinGroupResponseData second = two.joined(2);
            Check.equal("leaders", first.leader(), second.leader());
            Member leader = first.leader().equals(one.id) ? one : two;
            Member follower = leader == one ? two : one;
            Set<String> members = (leader == one ? first : second).members().stream().map(JoinGroupResponseData.JoinGroupResponseMember::memberId).collect(Collectors.toSet());
            Check.equal("members, as the leader sees them", new HashSet<>(List.of(one.id, two.id)), members);
            Check.equal("members, as the follower sees them", 0, (leader == one ? second : first).members().size());
            follower.postSync(Map.of());
            leader.postSync(Map.of(leader.id, "the leader's", follower.id, "the follower's"));
            leader.synced("the leader's");
            follower.synced("the follower's");
            Check.equal("heartbeat", Errors.NONE, follower.heartbeat(2));

            Check.equal("commit of a member", Errors.NONE, committed(bench, newest(bench, ApiKeys.OFFSET_COMMIT), group, leader.generation, leader.id, topic, topicId, 5));
            Check.equal("leaving", Errors.NONE, follower.leave());
            Check.equal("leaving again", Errors.UNKNOWN_MEMBER_ID, follower.leave());
            Check.equal("heartbeat of one who left", Errors.UNKNOWN_MEMBER_ID, follower.heartbeat(2));
            Bench.eventually("the one who stays learns of it", () -> leader.heartbeat(2) == Errors.REBALANCE_IN_PROGRESS);
            leader.postJoin();
            leader.joined(3);
            leader.postSync(Map.of(leader.id, "all again"));
            leader.synced("all again");
            if (tested == ApiKeys.JOIN_GROUP && version >= 5) staticMember(bench, group + "-static", version);
            Check.equal("leaving", Errors.NONE, leader.leave());
        }
        return "two members join, are assigned, report, commit and leave in three generations" + (tested == ApiKeys.JOIN_GROUP && version >= 5 ? "; a static member" : "");
    }

    /** A static member that comes back is known by its instance id, and fences who held it before (KIP-345). */
    private static void staticMember(Bench bench, String group, short version) throws Exception {
        try (Member member = new Member(bench, group, ApiKeys.JOIN_GROUP, version)) {
            JoinGroupResponseData joined = member.wire.ask(ApiKeys.JOIN_GROUP, version, member.joinRequest("instance"));
            Check.fine("a static member needs no member id", joined.errorCode());
            Check.equal("its instance id", "instance", Check.only("members", joined.members()).groupInstanceId());
            member.id = joined.memberId();
            member.generation = joined.generationId();
            member.postSync(Map.of(member.id, "mine"));
            member.synced("mine");
            String before = member.id;
            member.id = "";
            JoinGroupResponseData again = member.wire.ask(ApiKeys.JOIN_GROUP, version, member.joinRequest("instance"));
            Check.fine("it comes back", again.errorCode());
            Check.equal("generation", 1, again.generationId());
            Check.that("another member id", !again.memberId().equals(before));
            if (version >= 9) Check.equal("the assignment is skipped (KIP-814)", true, again.skipAssignment());
            member.id = before;
            JoinGroupResponseData fenced = member.wire.ask(ApiKeys.JOIN_GROUP, version, member.joinRequest("instance"));
            Check.error("who held the instance id before", Errors.FENCED_INSTANCE_ID, fenced.errorCode());
        }
    }

    // ---- offsets -----------------------------------------------------------------------------------------------------------------

    private static short newest(Bench bench, ApiKeys api) {
        return bench.newest.get(api);
    }

    private static Errors committed(Bench bench, short version, String group, int generation, String member, String topic, Uuid id, long offset) throws Exception {
        OffsetCommitRequestData request = new OffsetCommitRequestData().setGroupId(group).setGenerationIdOrMemberEpoch(generation).setMemberId(member);
        if (version <= 4) request.setRetentionTimeMs(-1);
        var asked = new OffsetCommitRequestData.OffsetCommitRequestTopic();
        if (version < 10) asked.setName(topic);
        else asked.setTopicId(id);
        var partition = new OffsetCommitRequestData.OffsetCommitRequestPartition().setPartitionIndex(0).setCommittedOffset(offset).setCommittedMetadata("note " + offset);
        if (version >= 6) partition.setCommittedLeaderEpoch(3);
        asked.partitions().add(partition);
        request.topics().add(asked);
        OffsetCommitResponseData response = bench.ask(ApiKeys.OFFSET_COMMIT, version, request);
        var answered = Check.only("topics", response.topics());
        if (version < 10) Check.equal("topic", topic, answered.name());
        else Check.equal("topic id", id, answered.topicId());
        return Errors.forCode(Check.only("partitions", answered.partitions()).errorCode());
    }

    /** What is committed for partition 0, in the newest version. -1 where nothing is. */
    static OffsetFetchResponseData.OffsetFetchResponsePartitions fetched(Bench bench, String group, Uuid id) throws Exception {
        return fetched(bench, group, id, true);
    }

    private static OffsetFetchResponseData.OffsetFetchResponsePartitions fetched(Bench bench, String group, Uuid id, boolean stable) throws Exception {
        OffsetFetchRequestData request = new OffsetFetchRequestData().setRequireStable(stable);
        var asked = new OffsetFetchRequestData.OffsetFetchRequestGroup().setGroupId(group);
        asked.setTopics(new ArrayList<>(List.of(new OffsetFetchRequestData.OffsetFetchRequestTopics().setTopicId(id).setPartitionIndexes(List.of(0)))));
        request.groups().add(asked);
        OffsetFetchResponseData response = bench.ask(ApiKeys.OFFSET_FETCH, request);
        var answered = Check.only("groups", response.groups());
        Check.fine("OffsetFetch", answered.errorCode());
        return Check.only("partitions", Check.only("topics", answered.topics()).partitions());
    }

    private static String offsetCommit(Bench bench, short version) throws Exception {
        String group = Bench.name(ApiKeys.OFFSET_COMMIT, version);
        Uuid id = bench.createTopic(group, 1);
        Check.equal("without a group", Errors.NONE, committed(bench, version, group, -1, "", group, id, 11));
        var stored = fetched(bench, group, id);
        Check.equal("offset", 11L, stored.committedOffset());
        Check.equal("metadata", "note 11", stored.metadata());
        if (version >= 6) Check.equal("leader epoch", 3, stored.committedLeaderEpoch());
        try (Member member = stable(bench, group + "-members", ApiKeys.OFFSET_COMMIT, version)) {
            Check.equal("as a member", Errors.NONE, committed(bench, version, member.group, 1, member.id, group, id, 12));
            Check.equal("offset", 12L, fetched(bench, member.group, id).committedOffset());
            Check.equal("in another generation", Errors.ILLEGAL_GENERATION, committed(bench, version, member.group, 9, member.id, group, id, 13));
            Check.equal("as nobody", Errors.UNKNOWN_MEMBER_ID, committed(bench, version, member.group, 1, "nobody", group, id, 13));
            Check.equal("offset", 12L, fetched(bench, member.group, id).committedOffset());
        }
        Check.equal("an unknown topic", version < 10 ? Errors.UNKNOWN_TOPIC_OR_PARTITION : Errors.UNKNOWN_TOPIC_ID,
            committed(bench, version, group, -1, "", group + "-unknown", UNKNOWN_ID, 1));
        return "with and without a group; wrong generation, member and topic refused";
    }

    /** From version 5 on the offsets become part of the transaction by this; before, AddOffsetsToTxn says so first (KIP-890). */
    private static String txnOffsetCommit(Bench bench, short version) throws Exception {
        boolean adds = version >= 5;
        Errors notPart = version < 4 ? Errors.INVALID_TXN_STATE : Errors.TRANSACTION_ABORTABLE;
        String group = Bench.name(ApiKeys.TXN_OFFSET_COMMIT, version);
        Uuid id = bench.createTopic(group, 1);
        TransactionalProducer producer = TransactionalProducer.start(bench, group);
        Check.equal("an unknown transactional id", Errors.INVALID_PRODUCER_ID_MAPPING,
            committedInTransaction(bench, version, producer.with(group + "-unknown", producer.producerId, producer.epoch), group, group, 43));
        if (!adds) {
            Check.equal("before they are part of the transaction", notPart, committedInTransaction(bench, version, producer, group, group, 41));
            producer.addOffsets(group);
        }
        Check.equal("in a transaction", Errors.NONE, committedInTransaction(bench, version, producer, group, group, 41));
        Check.equal("state of the transaction", "Ongoing", producer.described().transactionState());
        Check.error("while it is open", Errors.UNSTABLE_OFFSET_COMMIT, fetched(bench, group, id).errorCode());
        Check.equal("offset, for who does not mind", -1L, fetched(bench, group, id, false).committedOffset());
        producer.end(true);
        var stored = fetched(bench, group, id);
        Check.fine("after the commit", stored.errorCode());
        Check.equal("offset", 41L, stored.committedOffset());
        Check.equal("metadata", "note 41", stored.metadata());
        if (version >= 2) Check.equal("leader epoch", 3, stored.committedLeaderEpoch());

        if (!adds) producer.addOffsets(group);
        Check.equal("in the next transaction", Errors.NONE, committedInTransaction(bench, version, producer, group, group, 42));
        Check.equal("an unknown topic", Errors.UNKNOWN_TOPIC_OR_PARTITION, committedInTransaction(bench, version, producer, group, group + "-unknown", 42));
        Check.equal("an epoch that is over", Errors.INVALID_PRODUCER_EPOCH,
            committedInTransaction(bench, version, producer.with(group, producer.producerId, producer.epoch - 1), group, group, 43));
        Check.equal("an unknown producer id", Errors.INVALID_PRODUCER_ID_MAPPING,
            committedInTransaction(bench, version, producer.with(group, producer.producerId + 1_000_000, producer.epoch), group, group, 43));
        producer.end(false);
        Check.equal("offset after the abort", 41L, fetched(bench, group, id).committedOffset());
        if (version >= 3) ofMember(bench, version, producer, id);
        return "offsets that count once the transaction commits, and not if it aborts; unknown topics, ids and epochs refused"
            + (version >= 3 ? ", generations and members too" : "");
    }

    /** Who consumes in a group says so, and is refused when it is no longer in it (KIP-447). */
    private static void ofMember(Bench bench, short version, TransactionalProducer producer, Uuid id) throws Exception {
        String topic = producer.transactionalId;
        try (Member member = stable(bench, topic + "-members", ApiKeys.TXN_OFFSET_COMMIT, version)) {
            producer.addOffsets(member.group);
            Check.equal("in another generation", Errors.ILLEGAL_GENERATION,
                committedInTransaction(bench, version, producer, member.group, 9, member.id, topic, 44));
            Check.equal("as nobody", Errors.UNKNOWN_MEMBER_ID, committedInTransaction(bench, version, producer, member.group, 1, "nobody", topic, 44));
            Check.equal("as a member", Errors.NONE, committedInTransaction(bench, version, producer, member.group, 1, member.id, topic, 44));
            producer.end(true);
            Check.equal("offset", 44L, fetched(bench, member.group, id).committedOffset());
            Check.equal("leaving", Errors.NONE, member.leave());
        }
    }

    /** Commits an offset of partition 0 within a transaction, for a group without members. */
    static Errors committedInTransaction(Bench bench, short version, TransactionalProducer producer, String group, String topic, long offset) throws Exception {
        return committedInTransaction(bench, version, producer, group, -1, "", topic, offset);
    }

    private static Errors committedInTransaction(Bench bench, short version, TransactionalProducer producer, String group, int generation, String member,
                                                 String topic, long offset) throws Exception {
        TxnOffsetCommitRequestData request = new TxnOffsetCommitRequestData().setTransactionalId(producer.transactionalId).setGroupId(group)
            .setProducerId(producer.producerId).setProducerEpoch(producer.epoch);
        if (version >= 3) request.setGenerationId(generation).setMemberId(member);
        var partition = new TxnOffsetCommitRequestData.TxnOffsetCommitRequestPartition().setPartitionIndex(0).setCommittedOffset(offset)
            .setCommittedMetadata("note " + offset);
        if (version >= 2) partition.setCommittedLeaderEpoch(3);
        request.topics().add(new TxnOffsetCommitRequestData.TxnOffsetCommitRequestTopic().setName(topic).setPartitions(List.of(partition)));
        Errors[] error = new Errors[1];
        Bench.eventually("a coordinator", () -> {
            TxnOffsetCommitResponseData response = bench.ask(ApiKeys.TXN_OFFSET_COMMIT, version, request);
            Check.equal("throttle time", 0, response.throttleTimeMs());
            var answered = Check.only("topics", response.topics());
            Check.equal("topic", topic, answered.name());
            var answer = Check.only("partitions", answered.partitions());
            Check.equal("partition", 0, answer.partitionIndex());
            error[0] = Errors.forCode(answer.errorCode());
            return !TransactionalProducer.isPassing(error[0]);
        });
        return error[0];
    }

    private static String offsetFetch(Bench bench, short version) throws Exception {
        String group = Bench.name(ApiKeys.OFFSET_FETCH, version);
        Uuid id = bench.createTopic(group, 2);
        short commit = newest(bench, ApiKeys.OFFSET_COMMIT);
        Check.equal("commit", Errors.NONE, committed(bench, commit, group, -1, "", group, id, 21));
        Check.equal("commit", Errors.NONE, committed(bench, commit, group + "-b", -1, "", group, id, 22));
        if (version < 8) {
            for (boolean all : version >= 2 ? new boolean[] {false, true} : new boolean[] {false}) {
                OffsetFetchRequestData request = new OffsetFetchRequestData().setGroupId(group);
                if (version >= 7) request.setRequireStable(true);
                if (all) request.setTopics(null);
                else request.topics().add(new OffsetFetchRequestData.OffsetFetchRequestTopic().setName(group).setPartitionIndexes(List.of(0, 1)));
                OffsetFetchResponseData response = bench.ask(ApiKeys.OFFSET_FETCH, version, request);
                Check.fine("OffsetFetch", response.errorCode());
                var topic = Check.only("topics", response.topics());
                Check.equal("topic", group, topic.name());
                Check.equal("partitions", all ? 1 : 2, topic.partitions().size());
                for (var partition : topic.partitions()) {
                    Check.fine("partition", partition.errorCode());
                    boolean there = partition.partitionIndex() == 0;
                    Check.equal("offset", there ? 21L : -1L, partition.committedOffset());
                    Check.equal("metadata", there ? "note 21" : "", partition.metadata());
                    if (version >= 5) Check.equal("leader epoch", there ? 3 : -1, partition.committedLeaderEpoch());
                }
            }
            if (version >= 7) unstable(bench, group, id, request -> {
                request.setGroupId(group).topics().add(new OffsetFetchRequestData.OffsetFetchRequestTopic().setName(group).setPartitionIndexes(List.of(0)));
                OffsetFetchResponseData response = bench.ask(ApiKeys.OFFSET_FETCH, version, request);
                var partition = Check.only("partitions", Check.only("topics", response.topics()).partitions());
                return new Stored(Errors.forCode(partition.errorCode()), partition.committedOffset());
            });
            return (version >= 2 ? "named partitions, and all" : "named partitions") + (version >= 7 ? "; in an open transaction" : "");
        }
        OffsetFetchRequestData request = new OffsetFetchRequestData().setRequireStable(true);
        var named = new OffsetFetchRequestData.OffsetFetchRequestTopics().setPartitionIndexes(List.of(0, 1));
        if (version < 10) named.setName(group);
        else named.setTopicId(id);
        request.groups().add(new OffsetFetchRequestData.OffsetFetchRequestGroup().setGroupId(group).setTopics(List.of(named)));
        request.groups().add(new OffsetFetchRequestData.OffsetFetchRequestGroup().setGroupId(group + "-b").setTopics(null));
        request.groups().add(new OffsetFetchRequestData.OffsetFetchRequestGroup().setGroupId(group + "-unknown").setTopics(null));
        OffsetFetchResponseData response = bench.ask(ApiKeys.OFFSET_FETCH, version, request);
        Check.equal("groups", 3, response.groups().size());
        for (var answered : response.groups()) Check.fine(answered.groupId(), answered.errorCode());
        Check.equal("groups", List.of(group, group + "-b", group + "-unknown"), response.groups().stream().map(each -> each.groupId()).toList());
        var first = Check.only("topics", response.groups().get(0).topics());
        if (version < 10) Check.equal("topic", group, first.name());
        else Check.equal("topic id", id, first.topicId());
        Check.equal("offsets", List.of(21L, -1L), first.partitions().stream().map(each -> each.committedOffset()).toList());
        Check.equal("leader epochs", List.of(3, -1), first.partitions().stream().map(each -> each.committedLeaderEpoch()).toList());
        var second = Check.only("partitions", Check.only("topics", response.groups().get(1).topics()).partitions());
        Check.equal("offset", 22L, second.committedOffset());
        Check.equal("metadata", "note 22", second.metadata());
        Check.equal("topics of an unknown group", 0, response.groups().get(2).topics().size());
        unstable(bench, group, id, asked -> {
            var one = named.duplicate().setPartitionIndexes(List.of(0));
            asked.groups().add(new OffsetFetchRequestData.OffsetFetchRequestGroup().setGroupId(group).setTopics(List.of(one)));
            OffsetFetchResponseData answer = bench.ask(ApiKeys.OFFSET_FETCH, version, asked);
            var partition = Check.only("partitions", Check.only("topics", Check.only("groups", answer.groups()).topics()).partitions());
            return new Stored(Errors.forCode(partition.errorCode()), partition.committedOffset());
        });
        return "three groups: named partitions, all, and an unknown group; in an open transaction";
    }

    private record Stored(Errors error, long offset) {}

    private interface Asker {
        Stored ask(OffsetFetchRequestData request) throws Exception;
    }

    /** While a transaction is open that commits an offset, the one before it is not for those who ask for a stable one (KIP-447). */
    private static void unstable(Bench bench, String group, Uuid id, Asker asker) throws Exception {
        TransactionalProducer producer = TransactionalProducer.start(bench, group);
        short commit = newest(bench, ApiKeys.TXN_OFFSET_COMMIT);
        Check.equal("commit in a transaction", Errors.NONE, committedInTransaction(bench, commit, producer, group, group, 23));
        Check.equal("a stable offset", new Stored(Errors.UNSTABLE_OFFSET_COMMIT, -1), asker.ask(new OffsetFetchRequestData().setRequireStable(true)));
        Check.equal("the offset before", new Stored(Errors.NONE, 21), asker.ask(new OffsetFetchRequestData()));
        producer.end(true);
        Check.equal("the offset after", new Stored(Errors.NONE, 23), asker.ask(new OffsetFetchRequestData().setRequireStable(true)));
    }

    private static String offsetDelete(Bench bench, short version) throws Exception {
        String group = Bench.name(ApiKeys.OFFSET_DELETE, version);
        Uuid id = bench.createTopic(group, 1);
        Check.equal("commit", Errors.NONE, committed(bench, newest(bench, ApiKeys.OFFSET_COMMIT), group, -1, "", group, id, 31));
        OffsetDeleteResponseData response = bench.ask(ApiKeys.OFFSET_DELETE, version, offsetDeleteRequest(group, group));
        Check.fine("OffsetDelete", response.errorCode());
        Check.fine("the partition", Check.only("partitions", Check.only("topics", response.topics()).partitions()).errorCode());
        Check.equal("what is left", -1L, fetched(bench, group, id).committedOffset());
        OffsetDeleteResponseData unknown = bench.ask(ApiKeys.OFFSET_DELETE, version, offsetDeleteRequest(group + "-unknown", group));
        Check.error("an unknown group", Errors.GROUP_ID_NOT_FOUND, unknown.errorCode());
        return "a committed offset goes; an unknown group refused";
    }

    private static OffsetDeleteRequestData offsetDeleteRequest(String group, String topic) {
        OffsetDeleteRequestData request = new OffsetDeleteRequestData().setGroupId(group);
        var asked = new OffsetDeleteRequestData.OffsetDeleteRequestTopic().setName(topic);
        asked.partitions().add(new OffsetDeleteRequestData.OffsetDeleteRequestPartition().setPartitionIndex(0));
        request.topics().add(asked);
        return request;
    }

    // ---- looking at groups -------------------------------------------------------------------------------------------------------

    private static String describeGroups(Bench bench, short version) throws Exception {
        String group = Bench.name(ApiKeys.DESCRIBE_GROUPS, version);
        try (Member member = stable(bench, group, ApiKeys.DESCRIBE_GROUPS, version)) {
            DescribeGroupsRequestData request = new DescribeGroupsRequestData();
            if (version >= 3) request.setIncludeAuthorizedOperations(true);
            request.groups().add(group);
            request.groups().add(group + "-unknown");
            DescribeGroupsResponseData response = bench.ask(ApiKeys.DESCRIBE_GROUPS, version, request);
            Check.equal("groups", 2, response.groups().size());
            var described = response.groups().stream().filter(each -> each.groupId().equals(group)).findFirst().orElseThrow();
            Check.fine(group, described.errorCode());
            Check.equal("state", "Stable", described.groupState());
            Check.equal("protocol type", "consumer", described.protocolType());
            Check.equal("protocol", "range", described.protocolData());
            if (version >= 3) Check.that("authorized operations", described.authorizedOperations() != Integer.MIN_VALUE);
            var only = Check.only("members", described.members());
            Check.equal("member id", member.id, only.memberId());
            Check.equal("client id", Wire.CLIENT_ID, only.clientId());
            Check.equal("host", "/127.0.0.1", only.clientHost());
            Check.equal("metadata", latin(SUBSCRIPTION), latin(only.memberMetadata()));
            Check.equal("assignment", "all of it", Bench.text(only.memberAssignment()));
            var unknown = response.groups().stream().filter(each -> each != described).findFirst().orElseThrow();
            Check.error("an unknown group", version < 6 ? Errors.NONE : Errors.GROUP_ID_NOT_FOUND, unknown.errorCode());
            Check.equal("its state", "Dead", unknown.groupState());
            member.leave();
        }
        return "a stable group with its member, and an unknown one";
    }

    private static String listGroups(Bench bench, short version) throws Exception {
        String group = Bench.name(ApiKeys.LIST_GROUPS, version);
        try (Member member = stable(bench, group, ApiKeys.LIST_GROUPS, version)) {
            var listed = found(bench, version, group, new ListGroupsRequestData());
            Check.that("the group is listed", listed != null);
            Check.equal("protocol type", "consumer", listed.protocolType());
            if (version >= 4) {
                Check.equal("state", "Stable", listed.groupState());
                Check.that("among stable ones", found(bench, version, group, new ListGroupsRequestData().setStatesFilter(List.of("Stable"))) != null);
                Check.that("among empty ones", found(bench, version, group, new ListGroupsRequestData().setStatesFilter(List.of("Empty"))) == null);
            }
            if (version >= 5) {
                Check.equal("type", "classic", listed.groupType());
                Check.that("among classic ones", found(bench, version, group, new ListGroupsRequestData().setTypesFilter(List.of("classic"))) != null);
                Check.that("among consumer ones", found(bench, version, group, new ListGroupsRequestData().setTypesFilter(List.of("consumer"))) == null);
            }
            member.leave();
        }
        return "a stable group" + (version >= 4 ? ", by state" : "") + (version >= 5 ? ", by type" : "");
    }

    private static ListGroupsResponseData.ListedGroup found(Bench bench, short version, String group, ListGroupsRequestData request) throws Exception {
        ListGroupsResponseData response = bench.ask(ApiKeys.LIST_GROUPS, version, request);
        Check.fine("ListGroups", response.errorCode());
        return response.groups().stream().filter(each -> each.groupId().equals(group)).findFirst().orElse(null);
    }

    private static String deleteGroups(Bench bench, short version) throws Exception {
        String group = Bench.name(ApiKeys.DELETE_GROUPS, version);
        try (Member member = stable(bench, group, ApiKeys.DELETE_GROUPS, version)) {
            Check.equal("with a member in it", Errors.NON_EMPTY_GROUP, deleted(bench, version, group));
            Check.equal("leaving", Errors.NONE, member.leave());
        }
        Check.equal("empty", Errors.NONE, deleted(bench, version, group));
        Check.equal("again", Errors.GROUP_ID_NOT_FOUND, deleted(bench, version, group));
        return "an empty group goes; one with a member, and an unknown one, refused";
    }

    private static Errors deleted(Bench bench, short version, String group) throws Exception {
        DeleteGroupsRequestData request = new DeleteGroupsRequestData();
        request.groupsNames().add(group);
        DeleteGroupsResponseData response = bench.ask(ApiKeys.DELETE_GROUPS, version, request);
        var result = Check.only("groups", response.results());
        Check.equal("group", group, result.groupId());
        return Errors.forCode(result.errorCode());
    }

    private static String findCoordinator(Bench bench, short version) throws Exception {
        byte group = 0, transaction = 1, unknownType = 99;
        if (version < 4) {
            FindCoordinatorRequestData request = new FindCoordinatorRequestData().setKey("g");
            FindCoordinatorResponseData response = bench.ask(ApiKeys.FIND_COORDINATOR, version, request);
            Check.fine("FindCoordinator", response.errorCode());
            Check.equal("node", bench.nodeId(), response.nodeId());
            Check.equal("port", bench.port, response.port());
            if (version >= 1) {
                FindCoordinatorResponseData ofTransaction = bench.ask(ApiKeys.FIND_COORDINATOR, version, request.duplicate().setKeyType(transaction));
                Check.fine("FindCoordinator of a transactional id", ofTransaction.errorCode());
                Check.equal("node", bench.nodeId(), ofTransaction.nodeId());
                FindCoordinatorResponseData refused = bench.ask(ApiKeys.FIND_COORDINATOR, version, request.setKeyType(unknownType));
                Check.error("an unknown type of key", Errors.INVALID_REQUEST, refused.errorCode());
            }
            return "the coordinator of a group" + (version >= 1 ? " and of a transactional id" : "");
        }
        FindCoordinatorRequestData request = new FindCoordinatorRequestData().setCoordinatorKeys(List.of("g", "h"));
        for (byte type : new byte[] {group, transaction}) {
            FindCoordinatorResponseData response = bench.ask(ApiKeys.FIND_COORDINATOR, version, request.duplicate().setKeyType(type));
            Check.equal("keys", Set.of("g", "h"), response.coordinators().stream().map(each -> each.key()).collect(Collectors.toSet()));
            for (var found : response.coordinators()) {
                Check.fine(found.key(), found.errorCode());
                Check.equal("node", bench.nodeId(), found.nodeId());
                Check.equal("port", bench.port, found.port());
            }
        }
        FindCoordinatorResponseData refused = bench.ask(ApiKeys.FIND_COORDINATOR, version, request.duplicate().setKeyType(unknownType));
        for (var found : refused.coordinators()) Check.error("an unknown type of key", Errors.INVALID_REQUEST, found.errorCode());
        return "the coordinators of two groups, and of two transactional ids";
    }
}
