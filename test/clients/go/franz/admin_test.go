package franz_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"bayou/test/clients/go/support"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func is(t *testing.T, what string, err, wanted error) {
	t.Helper()
	if !errors.Is(err, wanted) {
		t.Fatalf("%s: %v, and not %v", what, err, wanted)
	}
}

func setOf(topic string, partitions ...int32) kadm.TopicsSet {
	set := kadm.TopicsSet{}
	set.Add(topic, partitions...)
	return set
}

func TestTopicsAreCreatedListedAndDeleted(t *testing.T) {
	eachVersion(t, func(t *testing.T, version kgo.Opt) {
		admin, topic, ctx := adminOf(t, version), unique("topics"), patient(t)
		must(t, support.Value(admin.ValidateCreateTopics(ctx, 3, 1, nil, topic))(t).Error())
		created := support.Value(admin.CreateTopics(ctx, 3, 1, map[string]*string{"retention.ms": kadm.StringPtr("123456")}, topic, "a/b"))(t)
		must(t, created[topic].Err)
		is(t, "a bad name", created["a/b"].Err, kerr.InvalidTopicException)
		_, err := admin.CreateTopic(ctx, 3, 1, nil, topic)
		is(t, "twice", err, kerr.TopicAlreadyExists)
		for what, each := range map[string]struct {
			partitions int32
			replicas   int16
			config     string
			wanted     error
		}{"partitions": {0, 1, "1", kerr.InvalidPartitions}, "replicas": {1, 9, "1", kerr.InvalidReplicationFactor}, "config": {1, 1, "x", kerr.InvalidConfig}} {
			_, err := admin.CreateTopic(ctx, each.partitions, each.replicas, map[string]*string{"retention.ms": &each.config}, unique("bad"))
			is(t, what, err, each.wanted)
		}
		visible(t, topic, 3)
		listed := support.Value(admin.ListTopics(ctx, topic))(t)[topic]
		equal(t, "replicas", listed.Partitions.NumReplicas(), 1)
		is(t, "fewer", support.Value(admin.UpdatePartitions(ctx, 2, topic))(t)[topic].Err, kerr.InvalidPartitions)
		must(t, support.Value(admin.ValidateCreatePartitions(ctx, 1, topic))(t)[topic].Err)
		must(t, support.Value(admin.CreatePartitions(ctx, 2, topic))(t)[topic].Err)
		visible(t, topic, 5)
		support.Value(admin.DeleteTopic(ctx, topic))(t)
		eventually(t, "gone", func() bool {
			return errors.Is(support.Value(admin.ListTopics(ctx, topic))(t)[topic].Err, kerr.UnknownTopicOrPartition)
		})
		_, err = admin.DeleteTopic(ctx, topic)
		is(t, "deleted twice", err, kerr.UnknownTopicOrPartition)
	})
}

func TestInternalTopicsAreNamedAsSuch(t *testing.T) {
	t.Parallel()
	admin, ctx, topic := adminOf(t), patient(t), topicOf(t, "internal", 1)
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, 0, 1, -1)
	must(t, admin.CommitAllOffsets(ctx, unique("internal"), offsets))
	if !support.Value(admin.ListTopicsWithInternal(ctx))(t)["__consumer_offsets"].IsInternal {
		t.Fatal("__consumer_offsets is not internal, or not there")
	}
	if support.Value(admin.ListTopics(ctx))(t).Has("__consumer_offsets") {
		t.Fatal("__consumer_offsets is listed as a topic of users")
	}
}

func TestConfigsAreDescribedAndChanged(t *testing.T) {
	eachVersion(t, func(t *testing.T, version kgo.Opt) {
		admin, topic, ctx := adminOf(t, version), topicOf(t, "configs", 1, "retention.ms=1000000"), patient(t)
		become := func(name, value string, source kmsg.ConfigSource) {
			t.Helper()
			eventually(t, name+" is "+value, func() bool {
				described := support.Value(support.Value(admin.DescribeTopicConfigs(ctx, topic))(t).On(topic, nil))(t)
				must(t, described.Err)
				for _, config := range described.Configs {
					if config.Key == name {
						return config.MaybeValue() == value && config.Source == source
					}
				}
				return false
			})
		}
		become("retention.ms", "1000000", kmsg.ConfigSourceDynamicTopicConfig)
		become("max.message.bytes", "1048588", kmsg.ConfigSourceDefaultConfig)
		state := []kadm.AlterConfig{{Name: "max.message.bytes", Value: kadm.StringPtr("2000000")}}
		must(t, support.Value(admin.ValidateAlterTopicConfigsState(ctx, state, topic))(t)[0].Err)
		must(t, support.Value(admin.AlterTopicConfigsState(ctx, state, topic))(t)[0].Err)
		become("max.message.bytes", "2000000", kmsg.ConfigSourceDynamicTopicConfig)
		become("retention.ms", "604800000", kmsg.ConfigSourceDefaultConfig)
		bad := []kadm.AlterConfig{{Name: "max.message.bytes", Value: kadm.StringPtr("many")}}
		is(t, "a bad value", support.Value(admin.AlterTopicConfigsState(ctx, bad, topic))(t)[0].Err, kerr.InvalidConfig)
		is(t, "of nothing", support.Value(support.Value(admin.DescribeTopicConfigs(ctx, topic+"-none"))(t).On(topic+"-none", nil))(t).Err, kerr.UnknownTopicOrPartition)
	})
}

func TestConfigsAreChangedInParts(t *testing.T) {
	t.Parallel()
	admin, topic, ctx := adminOf(t), topicOf(t, "parts", 1, "retention.ms=1000000"), patient(t)
	value := func(name string) string {
		described := support.Value(support.Value(admin.DescribeTopicConfigs(ctx, topic))(t).On(topic, nil))(t)
		at := slices.IndexFunc(described.Configs, func(config kadm.Config) bool { return config.Key == name })
		return described.Configs[at].MaybeValue()
	}
	changes := []kadm.AlterConfig{
		{Op: kadm.AppendConfig, Name: "cleanup.policy", Value: kadm.StringPtr("compact")},
		{Op: kadm.SetConfig, Name: "max.message.bytes", Value: kadm.StringPtr("5000")},
		{Op: kadm.DeleteConfig, Name: "retention.ms"},
	}
	must(t, support.Value(admin.ValidateAlterTopicConfigs(ctx, changes, topic))(t)[0].Err)
	equal(t, "unchanged", value("cleanup.policy"), "delete")
	must(t, support.Value(admin.AlterTopicConfigs(ctx, changes, topic))(t)[0].Err)
	eventually(t, "changed", func() bool {
		return value("cleanup.policy") == "delete,compact" && value("max.message.bytes") == "5000" && value("retention.ms") == "604800000"
	})
	must(t, support.Value(admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SubtractConfig, Name: "cleanup.policy", Value: kadm.StringPtr("delete")}}, topic))(t)[0].Err)
	eventually(t, "changed again", func() bool { return value("cleanup.policy") == "compact" })
	is(t, "of nothing", support.Value(admin.AlterTopicConfigs(ctx, changes, topic+"-none"))(t)[0].Err, kerr.UnknownTopicOrPartition)
}

func TestTheClusterItsConfigsAndItsLogDirs(t *testing.T) {
	eachVersion(t, func(t *testing.T, version kgo.Opt) {
		admin, topic, ctx := adminOf(t, version), topicOf(t, "cluster", 2), patient(t)
		send(t, numbered(topic, "x", 10, 2), version)
		metadata := support.Value(admin.BrokerMetadata(ctx))(t)
		equal(t, "the broker is the controller", []any{len(metadata.Brokers), metadata.Brokers[0].NodeID, metadata.Cluster != ""}, []any{1, metadata.Controller, true})
		broker := support.Value(admin.DescribeBrokerConfigs(ctx, metadata.Controller))(t)[0]
		must(t, broker.Err)
		if !slices.ContainsFunc(broker.Configs, func(config kadm.Config) bool { return config.Key == "message.max.bytes" }) {
			t.Fatal("no message.max.bytes of the broker")
		}
		dirs := support.Value(admin.DescribeAllLogDirs(ctx, setOf(topic, 0, 1)))(t)[metadata.Controller]
		must(t, dirs.Error())
		for partition := range int32(2) {
			if found, there := dirs.LookupPartition(topic, partition); !there || found.Size <= 0 {
				t.Fatalf("partition %d: %v", partition, found)
			}
		}
		versions := support.Value(admin.ApiVersions(ctx))(t)[metadata.Controller]
		must(t, versions.Err)
	})
}

func TestOffsetsAreListed(t *testing.T) {
	eachVersion(t, func(t *testing.T, version kgo.Opt) {
		admin, topic, ctx := adminOf(t, version), topicOf(t, "offsets", 2), patient(t)
		records := numbered(topic, "x", 10, 2)
		for n, record := range records {
			record.Timestamp = time.UnixMilli(int64(1+n) * 1000)
		}
		records[4].Timestamp = time.UnixMilli(99_000)
		send(t, records, version)
		deleted := kadm.Offsets{}
		deleted.AddOffset(topic, 1, 2, -1)
		must(t, support.Value(admin.DeleteRecords(ctx, deleted))(t).Error())
		at := func(listed kadm.ListedOffsets, err error) []int64 {
			t.Helper()
			must(t, err)
			must(t, listed.Error())
			zero, _ := listed.Lookup(topic, 0)
			one, _ := listed.Lookup(topic, 1)
			return []int64{zero.Offset, one.Offset}
		}
		equal(t, "start", at(admin.ListStartOffsets(ctx, topic)), []int64{0, 2})
		equal(t, "end", at(admin.ListEndOffsets(ctx, topic)), []int64{5, 5})
		equal(t, "committed", at(admin.ListCommittedOffsets(ctx, topic)), []int64{5, 5})
		equal(t, "by time", at(admin.ListOffsetsAfterMilli(ctx, 6_500, topic)), []int64{2, 3})
		deleted.AddOffset(topic, 0, 6, -1)
		is(t, "deleted beyond the end", support.Value(admin.DeleteRecords(ctx, deleted))(t).Error(), kerr.OffsetOutOfRange)
	})
}

func TestOffsetsOfTheNewerKinds(t *testing.T) {
	t.Parallel()
	admin, topic, ctx := adminOf(t), topicOf(t, "newer-offsets", 1), patient(t)
	records := numbered(topic, "x", 3, 1)
	records[0].Timestamp, records[1].Timestamp, records[2].Timestamp = time.UnixMilli(1_000), time.UnixMilli(3_000), time.UnixMilli(2_000)
	send(t, records)
	listed := support.Value(admin.ListMaxTimestampOffsets(ctx, topic))(t)
	largest, _ := listed.Lookup(topic, 0)
	equal(t, "the largest timestamp", []int64{largest.Offset, largest.Timestamp}, []int64{1, 3_000})
	local, _ := support.Value(admin.ListLocalLogStartOffsets(ctx, topic))(t).Lookup(topic, 0)
	tiered, _ := support.Value(admin.ListLatestRemoteOffsets(ctx, topic))(t).Lookup(topic, 0)
	equal(t, "local and tiered", []any{local.Offset, local.Err, tiered.Offset, tiered.Err}, []any{int64(0), error(nil), int64(-1), error(nil)})
	epoch := poll(t, clientOf(t, kgo.ConsumeTopics(topic)), 3)[0].LeaderEpoch
	ends := support.Value(admin.OffsetForLeaderEpoch(ctx, kadm.OffsetForLeaderEpochRequest{topic: {0: epoch}}))(t)
	equal(t, "the end of the epoch", []any{ends[topic][0].EndOffset, ends[topic][0].Err}, []any{int64(3), error(nil)})
}

func TestGroupsAreListedDescribedAndDeleted(t *testing.T) {
	eachBalancer(t, func(t *testing.T, options []kgo.Opt) {
		admin, topic, group, ctx := adminOf(t), topicOf(t, "admin", 2), unique("admin"), patient(t)
		m := join(t, group, "the-client", nil, nil, options, kgo.ConsumeTopics(topic))
		eventually(t, "all", func() bool { return shares([]*member{m}, 2) })
		kind := map[bool]string{true: "consumer", false: "classic"}[isServerSide(options)]
		eventually(t, "listed by state and type", func() bool {
			listed := support.Value(admin.ListGroupsByType(ctx, []string{kind}, "Stable"))(t)
			return listed[group].State == "Stable" && listed[group].GroupType == kind
		})
		if _, there := support.Value(admin.ListGroups(ctx, "Empty"))(t)[group]; there {
			t.Fatal("it is not empty")
		}
		if isServerSide(options) {
			described := support.Value(admin.DescribeConsumerGroups(ctx, group))(t)[group]
			must(t, described.Err)
			equal(t, "described", []any{described.State, len(described.Members), described.Members[0].ClientID, described.Members[0].SubscribedTopics, len(described.Members[0].Assignment[topic])}, []any{"Stable", 1, "the-client", []string{topic}, 2})
		} else {
			described := support.Value(admin.DescribeGroups(ctx, group))(t)[group]
			must(t, described.Err)
			equal(t, "described", []any{described.State, len(described.Members), described.Members[0].ClientID, described.JoinTopics(), len(described.AssignedPartitions()[topic])}, []any{"Stable", 1, "the-client", []string{topic}, 2})
		}
		_, err := admin.DeleteGroup(ctx, group)
		is(t, "with a member", err, kerr.NonEmptyGroup)
		is(t, "offsets of what is subscribed", support.Value(admin.DeleteOffsets(ctx, group, setOf(topic, 0)))(t)[topic][0], kerr.GroupSubscribedToTopic)
		m.leave()
		eventually(t, "empty", func() bool { return support.Value(admin.ListGroups(ctx))(t)[group].State == "Empty" })
		support.Value(admin.DeleteGroup(ctx, group))(t)
		_, err = admin.DeleteGroup(ctx, group)
		is(t, "twice", err, kerr.GroupIDNotFound)
	})
}

func TestOffsetsOfGroupsAreReadSetAndDeleted(t *testing.T) {
	eachVersion(t, func(t *testing.T, version kgo.Opt) {
		admin, topic, group, ctx := adminOf(t, version), topicOf(t, "group-offsets", 3), unique("group-offsets"), patient(t)
		offsets := kadm.Offsets{}
		offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: 5, LeaderEpoch: -1, Metadata: "five"})
		offsets.Add(kadm.Offset{Topic: topic, Partition: 1, At: 6, LeaderEpoch: -1})
		must(t, admin.CommitAllOffsets(ctx, group, offsets))
		fetched := support.Value(admin.FetchOffsets(ctx, group))(t)
		first, _ := fetched.Lookup(topic, 0)
		second, _ := fetched.Lookup(topic, 1)
		equal(t, "fetched", []any{first.At, first.Metadata, second.At, len(fetched[topic])}, []any{int64(5), "five", int64(6), 2})
		third, _ := support.Value(admin.FetchOffsetsForTopics(ctx, group, topic))(t).Lookup(topic, 2)
		equal(t, "without a commit", third.At, int64(-1))
		many := admin.FetchManyOffsets(ctx, group, unique("none"))
		equal(t, "two groups", []any{len(many), many[group].Err, len(many[group].Fetched[topic])}, []any{2, error(nil), 2})
	})
}

func TestOffsetsOfGroupsAreDeleted(t *testing.T) {
	t.Parallel()
	admin, topic, group, ctx := adminOf(t), topicOf(t, "delete-offsets", 2), unique("delete-offsets"), patient(t)
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, 0, 5, -1)
	offsets.AddOffset(topic, 1, 6, -1)
	must(t, admin.CommitAllOffsets(ctx, group, offsets))
	must(t, support.Value(admin.DeleteOffsets(ctx, group, setOf(topic, 0)))(t).Error())
	equal(t, "what is left", len(support.Value(admin.FetchOffsets(ctx, group))(t)[topic]), 1)
	_, err := admin.DeleteOffsets(ctx, unique("none"), setOf(topic, 0))
	is(t, "of nothing", err, kerr.GroupIDNotFound)
}

func TestLeadersReassignmentsAndReplicas(t *testing.T) {
	t.Parallel()
	admin, topic, ctx := adminOf(t), topicOf(t, "leaders", 1), patient(t)
	is(t, "election", support.Value(admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, setOf(topic, 0)))(t)[topic][0].Err, kerr.ElectionNotNeeded)
	controller := support.Value(admin.BrokerMetadata(ctx))(t).Controller
	move := kadm.AlterPartitionAssignmentsReq{}
	move.Assign(topic, 0, []int32{controller})
	must(t, support.Value(admin.AlterPartitionAssignments(ctx, move))(t).Error())
	nowhere, cancelled := kadm.AlterPartitionAssignmentsReq{}, kadm.AlterPartitionAssignmentsReq{}
	nowhere.Assign(topic, 0, []int32{4711})
	cancelled.CancelAssign(topic, 0)
	is(t, "to nowhere", support.Value(admin.AlterPartitionAssignments(ctx, nowhere))(t).Error(), kerr.InvalidReplicaAssignment)
	is(t, "the end of nothing", support.Value(admin.AlterPartitionAssignments(ctx, cancelled))(t).Error(), kerr.NoReassignmentInProgress)
	equal(t, "moving", len(support.Value(admin.ListPartitionReassignments(ctx, setOf(topic, 0)))(t)[topic]), 0)
	elsewhere := kadm.AlterReplicaLogDirsReq{}
	elsewhere.Add("/no/such/folder", setOf(topic, 0))
	is(t, "a folder that is not there", support.Value(admin.AlterBrokerReplicaLogDirs(ctx, controller, elsewhere))(t)[topic][0].Err, kerr.LogDirNotFound)
}

func TestProducersAndTransactionsAreDescribed(t *testing.T) {
	t.Parallel()
	admin, topic, ctx := adminOf(t), topicOf(t, "producers", 1), patient(t)
	producer := clientOf(t)
	must(t, producer.ProduceSync(ctx, numbered(topic, "x", 3, 1)...).FirstErr())
	id, epoch, err := producer.ProducerID(ctx)
	must(t, err)
	described := support.Value(admin.DescribeProducers(ctx, setOf(topic, 0)))(t)[topic].Partitions[0]
	must(t, described.Err)
	active := described.ActiveProducers[id]
	equal(t, "the producer", []any{active.ProducerEpoch, active.LastSequence}, []any{epoch, int32(2)})
	id2 := unique("none")
	var transactions kadm.DescribedTransactions
	// Kafka makes the topic of its coordinator when somebody first asks for it.
	eventually(t, "a coordinator", func() bool {
		transactions, err = admin.DescribeTransactions(ctx, id2)
		return err == nil
	})
	is(t, "an unknown transaction", transactions[id2].Err, kerr.TransactionalIDNotFound)
	listed := support.Value(admin.ListTransactions(ctx, []int64{id}, []string{"Ongoing"}))(t)
	equal(t, "transactions", len(listed), 0)
}

func TestAclsWithoutAnAuthorizer(t *testing.T) {
	eachVersion(t, func(t *testing.T, version kgo.Opt) {
		admin, ctx := adminOf(t, version), patient(t)
		rules := kadm.NewACLs().Topics("x").ResourcePatternType(kadm.ACLPatternLiteral).Allow("User:x").AllowHosts().Operations(kadm.OpRead)
		for _, each := range support.Value(admin.CreateACLs(ctx, rules))(t) {
			is(t, "create", each.Err, kerr.SecurityDisabled)
		}
		for _, each := range support.Value(admin.DescribeACLs(ctx, rules))(t) {
			is(t, "describe", each.Err, kerr.SecurityDisabled)
		}
		for _, each := range support.Value(admin.DeleteACLs(ctx, rules))(t) {
			is(t, "delete", each.Err, kerr.SecurityDisabled)
		}
	})
}

// What the broker does not have yet is not advertised, so that the client says so itself; and where it is asked all the same, the answer is an error at once, and the connection lives.
func TestWhatIsNotThereYetIsRefused(t *testing.T) {
	if !support.Ours() {
		t.Skip("Kafka has it")
	}
	t.Parallel()
	admin, ctx := adminOf(t), patient(t)
	for what, ask := range map[string]func() error{
		"DescribeUserSCRAMs":   func() error { _, err := admin.DescribeUserSCRAMs(ctx); return err },
		"DescribeClientQuotas": func() error { _, err := admin.DescribeClientQuotas(ctx, false, nil); return err },
		"AlterUserSCRAMs": func() error {
			_, err := admin.AlterUserSCRAMs(ctx, []kadm.DeleteSCRAM{{User: "x", Mechanism: kadm.ScramSha256}}, nil)
			return err
		},
		"DescribeDelegationTokens": func() error { _, err := admin.DescribeDelegationTokens(ctx); return err },
		"DescribeShareGroups":      func() error { _, err := admin.DescribeShareGroups(ctx, "x"); return err },
	} {
		if err := ask(); err == nil {
			t.Fatalf("%s: no error", what)
		} else {
			t.Logf("%s: %v", what, err)
		}
		support.Value(admin.ListTopics(ctx))(t)
	}
}

func TestFeaturesAndConfigResources(t *testing.T) {
	t.Parallel()
	admin, ctx := adminOf(t), patient(t)
	updated, err := admin.UpdateFeatures(ctx, true, kadm.FeatureUpdate{Feature: "no.such.feature", MaxVersionLevel: 1})
	is(t, "an unknown feature", errors.Join(err, updated["no.such.feature"].Err), kerr.InvalidUpdateVersion)
	topic := topicOf(t, "resource", 1)
	resources := support.Value(admin.ListConfigResources(ctx, kadm.ConfigResourceType(kmsg.ConfigResourceTypeTopic)))(t)
	must(t, resources.Err)
	if !slices.ContainsFunc(resources.Resources, func(resource kadm.ConfigResource) bool { return resource.Name == topic }) {
		t.Fatalf("%s is not among %d topics", topic, len(resources.Resources))
	}
}

func TestPing(t *testing.T) {
	eachVersion(t, func(t *testing.T, version kgo.Opt) { must(t, clientOf(t, version).Ping(patient(t))) })
}
