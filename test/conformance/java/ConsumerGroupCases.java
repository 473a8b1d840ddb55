import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.Errors;

/** Groups of the consumer protocol (KIP-848). */
final class ConsumerGroupCases {
    private ConsumerGroupCases() {}

    static void addTo(Map<ApiKeys, Case> cases) {
        cases.put(ApiKeys.CONSUMER_GROUP_HEARTBEAT, ConsumerGroupCases::heartbeat);
        cases.put(ApiKeys.CONSUMER_GROUP_DESCRIBE, ConsumerGroupCases::describe);
    }

    /** A member that knows what it owns, and takes and gives as it is told. */
    private static final class Member {
        final Bench bench;
        final short version;
        final String group;
        String id;
        int epoch = 0;
        TreeSet<Integer> owned = new TreeSet<>();
        final Uuid topicId;

        Member(Bench bench, short version, String group, Uuid topicId) {
            this.bench = bench;
            this.version = version;
            this.group = group;
            this.topicId = topicId;
            this.id = version == 0 ? "" : Uuid.randomUuid().toString();
        }

        ConsumerGroupHeartbeatRequestData request() {
            return new ConsumerGroupHeartbeatRequestData().setGroupId(group).setMemberId(id).setMemberEpoch(epoch);
        }

        ConsumerGroupHeartbeatResponseData send(ConsumerGroupHeartbeatRequestData request) throws Exception {
            return bench.ask(ApiKeys.CONSUMER_GROUP_HEARTBEAT, version, request);
        }

        void join(List<String> topics, String regex) throws Exception {
            ConsumerGroupHeartbeatRequestData request = request().setRebalanceTimeoutMs(30_000).setSubscribedTopicNames(topics).setServerAssignor("uniform")
                .setTopicPartitions(new ArrayList<>());
            if (version >= 1) request.setSubscribedTopicRegex(regex);
            take(send(request));
            Check.that("a member id", !id.isEmpty());
            Check.that("an epoch", epoch > 0);
        }

        /** Reports what is owned, and does what the answer says. */
        void report() throws Exception {
            ConsumerGroupHeartbeatRequestData request = request();
            request.setTopicPartitions(new ArrayList<>());
            if (!owned.isEmpty()) {
                request.topicPartitions().add(new ConsumerGroupHeartbeatRequestData.TopicPartitions().setTopicId(topicId).setPartitions(new ArrayList<>(owned)));
            }
            take(send(request));
        }

        private void take(ConsumerGroupHeartbeatResponseData response) {
            Check.equal("ConsumerGroupHeartbeat", Errors.NONE + " null", Errors.forCode(response.errorCode()) + " " + response.errorMessage());
            Check.that("an interval", response.heartbeatIntervalMs() > 0);
            if (!id.isEmpty()) Check.equal("member id", id, response.memberId());
            id = response.memberId();
            epoch = response.memberEpoch();
            if (response.assignment() == null) return;
            owned = new TreeSet<>();
            for (var assigned : response.assignment().topicPartitions()) {
                Check.equal("topic id", topicId, assigned.topicId());
                owned.addAll(assigned.partitions());
            }
        }

        void leave() throws Exception {
            ConsumerGroupHeartbeatResponseData response = send(request().setMemberEpoch(-1));
            Check.fine("leaving", response.errorCode());
            Check.equal("epoch of one who left", -1, response.memberEpoch());
        }
    }

    private static String heartbeat(Bench bench, short version) throws Exception {
        String group = Bench.name(ApiKeys.CONSUMER_GROUP_HEARTBEAT, version);
        Uuid id = bench.createTopic(group, 4);
        Member one = new Member(bench, version, group, id);
        one.join(List.of(group), null);
        Bench.eventually("all partitions for one member", () -> {
            one.report();
            return one.owned.equals(new TreeSet<>(List.of(0, 1, 2, 3)));
        });
        Member two = new Member(bench, version, group, id);
        if (version == 0) two.join(List.of(group), null);
        else two.join(null, group + ".*");
        Bench.eventually("two partitions each", () -> {
            one.report();
            two.report();
            return one.owned.size() == 2 && two.owned.size() == 2;
        });
        TreeSet<Integer> both = new TreeSet<>(one.owned);
        both.addAll(two.owned);
        Check.equal("partitions of both", new TreeSet<>(List.of(0, 1, 2, 3)), both);
        Check.error("an epoch of the past", Errors.FENCED_MEMBER_EPOCH, two.send(two.request().setMemberEpoch(two.epoch + 5)).errorCode());
        Check.error("an unknown member", Errors.UNKNOWN_MEMBER_ID, two.send(two.request().setMemberId("nobody").setMemberEpoch(1)).errorCode());
        Check.error("no group id", Errors.INVALID_REQUEST, two.send(two.request().setGroupId("")).errorCode());
        Check.error("an unknown assignor", Errors.UNSUPPORTED_ASSIGNOR,
            one.send(new Member(bench, version, group + "-other", id).request().setRebalanceTimeoutMs(1000).setSubscribedTopicNames(List.of(group))
                .setServerAssignor("no such").setTopicPartitions(new ArrayList<>())).errorCode());
        two.leave();
        Bench.eventually("all partitions again", () -> {
            one.report();
            return one.owned.size() == 4;
        });
        one.leave();
        return "two members share four partitions" + (version >= 1 ? ", one by a regular expression" : "") + ", and one gets all when the other leaves";
    }

    private static String describe(Bench bench, short version) throws Exception {
        String group = Bench.name(ApiKeys.CONSUMER_GROUP_DESCRIBE, version);
        Uuid id = bench.createTopic(group, 2);
        Member member = new Member(bench, bench.newest.get(ApiKeys.CONSUMER_GROUP_HEARTBEAT), group, id);
        member.join(List.of(group), null);
        Bench.eventually("an assignment", () -> {
            member.report();
            return member.owned.size() == 2;
        });
        member.report();
        ConsumerGroupDescribeRequestData request = new ConsumerGroupDescribeRequestData().setGroupIds(List.of(group, group + "-unknown")).setIncludeAuthorizedOperations(true);
        ConsumerGroupDescribeResponseData response = bench.ask(ApiKeys.CONSUMER_GROUP_DESCRIBE, version, request);
        Check.equal("groups", 2, response.groups().size());
        var described = response.groups().stream().filter(each -> each.groupId().equals(group)).findFirst().orElseThrow();
        Check.fine(group, described.errorCode());
        Check.equal("state", "Stable", described.groupState());
        Check.equal("group epoch", member.epoch, described.groupEpoch());
        Check.equal("assignment epoch", member.epoch, described.assignmentEpoch());
        Check.equal("assignor", "uniform", described.assignorName());
        Check.that("authorized operations", described.authorizedOperations() != Integer.MIN_VALUE);
        var only = Check.only("members", described.members());
        Check.equal("member id", member.id, only.memberId());
        Check.equal("epoch", member.epoch, only.memberEpoch());
        Check.equal("client id", Wire.CLIENT_ID, only.clientId());
        Check.equal("subscription", List.of(group), only.subscribedTopicNames());
        var assigned = Check.only("topics", only.assignment().topicPartitions());
        Check.equal("topic", group, assigned.topicName());
        Check.equal("topic id", id, assigned.topicId());
        Check.equal("partitions", member.owned, new TreeSet<>(assigned.partitions()));
        Check.equal("target", only.assignment(), only.targetAssignment());
        if (version >= 1) Check.equal("member type", (byte) 1, only.memberType());
        var unknown = response.groups().stream().filter(each -> each != described).findFirst().orElseThrow();
        Check.error("an unknown group", Errors.GROUP_ID_NOT_FOUND, unknown.errorCode());
        member.leave();
        return "a stable group with its member, and an unknown one";
    }
}
