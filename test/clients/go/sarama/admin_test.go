package sarama_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"bayou/test/clients/go/support"

	"github.com/IBM/sarama"
)

func TestTopicsAreCreatedListedDescribedAndDeleted(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		admin, topic := adminOf(t, config), unique("topics")
		retention := "123456"
		detail := &sarama.TopicDetail{NumPartitions: 3, ReplicationFactor: 1, ConfigEntries: map[string]*string{"retention.ms": &retention}}
		must(t, admin.CreateTopic(topic, detail, true))
		if _, there := support.Value(admin.ListTopics())(t)[topic]; there {
			t.Fatal("what was only validated is there")
		}
		must(t, admin.CreateTopic(topic, detail, false))
		if err := admin.CreateTopic(topic, detail, false); !errors.Is(err, sarama.ErrTopicAlreadyExists) {
			t.Fatalf("twice: %v", err)
		}
		visible(t, topic, 3)
		listed := support.Value(admin.ListTopics())(t)[topic]
		equal(t, "listed", []any{listed.NumPartitions, listed.ReplicationFactor, *listed.ConfigEntries["retention.ms"]}, []any{int32(3), int16(1), "123456"})
		described := support.Value(admin.DescribeTopics([]string{topic, "no-such-topic-" + topic}))(t)
		equal(t, "described", []any{described[0].Err, len(described[0].Partitions), described[1].Err}, []any{sarama.ErrNoError, 3, sarama.ErrUnknownTopicOrPartition})
		must(t, admin.DeleteTopic(topic))
		eventually(t, "gone", func() bool {
			_, there := support.Value(admin.ListTopics())(t)[topic]
			return !there
		})
		if err := admin.DeleteTopic(topic); !errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
			t.Fatalf("deleted twice: %v", err)
		}
	})
}

func TestTopicsThatCannotBe(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		admin, bad := adminOf(t, config), "never"
		for what, each := range map[string]struct {
			name   string
			detail sarama.TopicDetail
			wanted error
		}{
			"name":        {"a/b", sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, sarama.ErrInvalidTopic},
			"partitions":  {unique("bad"), sarama.TopicDetail{NumPartitions: 0, ReplicationFactor: 1}, sarama.ErrInvalidPartitions},
			"replication": {unique("bad"), sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 7}, sarama.ErrInvalidReplicationFactor},
			"config":      {unique("bad"), sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1, ConfigEntries: map[string]*string{"cleanup.policy": &bad}}, sarama.ErrInvalidConfig},
			"assignment":  {unique("bad"), sarama.TopicDetail{NumPartitions: -1, ReplicationFactor: -1, ReplicaAssignment: map[int32][]int32{0: {4711}}}, sarama.ErrInvalidReplicaAssignment},
		} {
			if err := admin.CreateTopic(each.name, &each.detail, false); !errors.Is(err, each.wanted) {
				t.Fatalf("%s: %v", what, err)
			}
		}
	})
}

func TestPartitionsAreAdded(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		admin, topic := adminOf(t, config), topicOf(t, "grown", 2)
		must(t, admin.CreatePartitions(topic, 3, nil, true))
		must(t, admin.CreatePartitions(topic, 4, nil, false))
		visible(t, topic, 4)
		if err := admin.CreatePartitions(topic, 3, nil, false); !errors.Is(err, sarama.ErrInvalidPartitions) {
			t.Fatalf("fewer: %v", err)
		}
		if err := admin.CreatePartitions(unique("none"), 3, nil, false); !errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
			t.Fatalf("of nothing: %v", err)
		}
		send(t, config, numbered(topic, "x", 8, 4)...)
		equal(t, "in the new one", endOf(t, topic, 3), int64(2))
	})
}

func entryOf(t *testing.T, admin sarama.ClusterAdmin, topic, name string) sarama.ConfigEntry {
	t.Helper()
	entries := support.Value(admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{name}}))(t)
	if len(entries) != 1 {
		t.Fatalf("%s: %d entries", name, len(entries))
	}
	return entries[0]
}

func TestConfigsAreDescribedAndChanged(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		admin, topic := adminOf(t, config), topicOf(t, "configs", 1, "retention.ms=1000000")
		is := func(name, value string, source sarama.ConfigSource) {
			t.Helper()
			eventually(t, name+" is "+value, func() bool {
				entry := entryOf(t, admin, topic, name)
				return entry.Value == value && (entry.Source == source || config.Version == sarama.V2_1_0_0 && source == sarama.SourceDefault)
			})
		}
		is("retention.ms", "1000000", sarama.SourceTopic)
		is("max.message.bytes", "1048588", sarama.SourceDefault)
		value, list := "2000000", "compact"
		must(t, admin.AlterConfig(sarama.TopicResource, topic, map[string]*string{"max.message.bytes": &value}, true))
		is("max.message.bytes", "1048588", sarama.SourceDefault)
		must(t, admin.AlterConfig(sarama.TopicResource, topic, map[string]*string{"max.message.bytes": &value}, false))
		is("max.message.bytes", "2000000", sarama.SourceTopic)
		is("retention.ms", "604800000", sarama.SourceDefault)
		if config.Version.IsAtLeast(sarama.V2_3_0_0) {
			must(t, admin.IncrementalAlterConfig(sarama.TopicResource, topic, map[string]sarama.IncrementalAlterConfigsEntry{
				"max.message.bytes": {Operation: sarama.IncrementalAlterConfigsOperationDelete},
				"cleanup.policy":    {Operation: sarama.IncrementalAlterConfigsOperationAppend, Value: &list},
				"retention.ms":      {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value},
			}, false))
			is("max.message.bytes", "1048588", sarama.SourceDefault)
			is("cleanup.policy", "delete,compact", sarama.SourceTopic)
			is("retention.ms", "2000000", sarama.SourceTopic)
		}
		bad := "many"
		if err := admin.AlterConfig(sarama.TopicResource, topic, map[string]*string{"max.message.bytes": &bad}, false); !errors.Is(err, sarama.ErrInvalidConfig) {
			t.Fatalf("a bad value: %v", err)
		}
		if _, err := admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: unique("none")}); !errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
			t.Fatalf("of nothing: %v", err)
		}
		brokers, _, err := admin.DescribeCluster()
		must(t, err)
		names := []string{}
		for _, entry := range support.Value(admin.DescribeConfig(sarama.ConfigResource{Type: sarama.BrokerResource, Name: fmt.Sprint(brokers[0].ID())}))(t) {
			names = append(names, entry.Name)
		}
		for _, name := range []string{"message.max.bytes", "log.retention.ms", "num.partitions"} {
			if !slices.Contains(names, name) {
				t.Fatalf("%s of the broker: only %v", name, names)
			}
		}
	})
}

func TestClusterAndLogDirs(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		admin, topic := adminOf(t, config), topicOf(t, "log-dirs", 2)
		send(t, config, numbered(topic, "x", 10, 2)...)
		brokers, controller, err := admin.DescribeCluster()
		must(t, err)
		equal(t, "the broker is the controller", []int32{brokers[0].ID(), int32(len(brokers))}, []int32{controller, 1})
		sizes := map[int32]int64{}
		for _, dir := range support.Value(admin.DescribeLogDirs([]int32{controller}))(t)[controller] {
			equal(t, "error", dir.ErrorCode, sarama.ErrNoError)
			for _, each := range dir.Topics {
				for _, partition := range each.Partitions {
					if each.Topic == topic {
						sizes[partition.PartitionID] = partition.Size
					}
				}
			}
		}
		if len(sizes) != 2 || sizes[0] <= 0 || sizes[1] <= 0 {
			t.Fatalf("sizes: %v", sizes)
		}
	})
}

func TestOffsetsAreListed(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		admin, topic := adminOf(t, config), topicOf(t, "offsets", 2)
		send(t, config, numbered(topic, "x", 10, 2)...)
		must(t, admin.DeleteRecords(topic, map[int32]int64{0: 2}))
		for what, each := range map[string]struct{ spec, zero, one int64 }{"oldest": {sarama.OffsetOldest, 2, 0}, "newest": {sarama.OffsetNewest, 5, 5}} {
			listed := support.Value(admin.ListOffsets(map[string]map[int32]int64{topic: {0: each.spec, 1: each.spec}}, nil))(t)[topic]
			equal(t, what, []any{listed[0].Offset, listed[0].Err, listed[1].Offset, listed[1].Err}, []any{each.zero, sarama.ErrNoError, each.one, sarama.ErrNoError})
		}
	})
}

func TestRecordsAreDeleted(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		admin, topic := adminOf(t, config), topicOf(t, "delete-records", 2)
		send(t, config, numbered(topic, "x", 20, 2)...)
		must(t, admin.DeleteRecords(topic, map[int32]int64{0: 4, 1: -1}))
		client := clientOf(t, config)
		equal(t, "starts", []int64{support.Value(client.GetOffset(topic, 0, sarama.OffsetOldest))(t), support.Value(client.GetOffset(topic, 1, sarama.OffsetOldest))(t)}, []int64{4, 10})
		if err := admin.DeleteRecords(topic, map[int32]int64{0: 11}); !errors.Is(err, sarama.ErrOffsetOutOfRange) {
			t.Fatalf("beyond the end: %v", err)
		}
		equal(t, "what is left", string(read(t, config, topic, 0, sarama.OffsetOldest, 1)[0].Value), "x-8")
	})
}

func TestGroupsAreListedDescribedAndDeleted(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		admin, topic, group := adminOf(t, config), topicOf(t, "admin", 2), unique("admin")
		m := join(t, configOf(config.Version), group, "the-client", nil, 0, topic)
		eventually(t, "all", func() bool { return shares([]*member{m}, 2) })
		equal(t, "type", support.Value(admin.ListConsumerGroups())(t)[group], "consumer")
		described := support.Value(admin.DescribeConsumerGroups([]string{group}))(t)[0]
		equal(t, "described", []any{described.Err, described.State, described.ProtocolType, described.Protocol, len(described.Members)}, []any{sarama.ErrNoError, "Stable", "consumer", "range", 1})
		for _, each := range described.Members {
			assignment := support.Value(each.GetMemberAssignment())(t)
			metadata := support.Value(each.GetMemberMetadata())(t)
			equal(t, "member", []any{each.ClientId, len(assignment.Topics[topic]), metadata.Topics}, []any{"the-client", 2, []string{topic}})
		}
		if err := admin.DeleteConsumerGroup(group); !errors.Is(err, sarama.ErrNonEmptyGroup) {
			t.Fatalf("with a member: %v", err)
		}
		m.leave()
		eventually(t, "empty", func() bool {
			return support.Value(admin.DescribeConsumerGroups([]string{group}))(t)[0].State == "Empty"
		})
		must(t, admin.DeleteConsumerGroup(group))
		if err := admin.DeleteConsumerGroup(group); !errors.Is(err, sarama.ErrGroupIDNotFound) {
			t.Fatalf("twice: %v", err)
		}
		equal(t, "afterwards", support.Value(admin.DescribeConsumerGroups([]string{group}))(t)[0].State, "Dead")
	})
}

func TestOffsetsOfGroupsAreReadSetAndDeleted(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		admin, topic, group := adminOf(t, config), topicOf(t, "group-offsets", 3), unique("group-offsets")
		answer := support.Value(admin.AlterConsumerGroupOffsets(group, map[string]map[int32]sarama.OffsetAndMetadata{topic: {0: {Offset: 5, Metadata: "five", LeaderEpoch: -1}, 1: {Offset: 6, LeaderEpoch: -1}}}, nil))(t)
		equal(t, "set", []sarama.KError{answer.Errors[topic][0], answer.Errors[topic][1]}, []sarama.KError{sarama.ErrNoError, sarama.ErrNoError})
		offsets := func(named map[string][]int32) map[int32]int64 {
			found := map[int32]int64{}
			fetched := support.Value(admin.ListConsumerGroupOffsets(group, named))(t)
			equal(t, "error", fetched.Err, sarama.ErrNoError)
			for partition, block := range fetched.Blocks[topic] {
				found[partition] = block.Offset
			}
			return found
		}
		equal(t, "named", offsets(map[string][]int32{topic: {0, 1, 2}}), map[int32]int64{0: 5, 1: 6, 2: -1})
		equal(t, "all", offsets(nil), map[int32]int64{0: 5, 1: 6})
		equal(t, "metadata", support.Value(admin.ListConsumerGroupOffsets(group, nil))(t).GetBlock(topic, 0).Metadata, "five")
		if config.Version.IsAtLeast(sarama.V2_4_0_0) {
			must(t, admin.DeleteConsumerGroupOffset(group, topic, 0))
			equal(t, "after one is deleted", offsets(nil), map[int32]int64{1: 6})
			if err := admin.DeleteConsumerGroupOffset(unique("none"), topic, 0); !errors.Is(err, sarama.ErrGroupIDNotFound) {
				t.Fatalf("of nothing: %v", err)
			}
		}
		if config.Version.IsAtLeast(sarama.V3_0_0_0) {
			batch := support.Value(admin.ListConsumerGroupOffsetsBatch(map[string]map[string][]int32{group: {topic: {1}}, unique("none"): {topic: {1}}}))(t)
			equal(t, "groups", len(batch), 2)
			equal(t, "in a batch", batch[group].GetBlock(topic, 1).Offset, int64(6))
		}
	})
}

func TestOffsetsOfASubscribedTopicAreNotDeleted(t *testing.T) {
	t.Parallel()
	admin, topic, group := adminOf(t, newest()), topicOf(t, "subscribed", 1), unique("subscribed")
	m := join(t, newest(), group, "m", nil, 0, topic)
	eventually(t, "all", func() bool { return shares([]*member{m}, 1) })
	if err := admin.DeleteConsumerGroupOffset(group, topic, 0); !errors.Is(err, sarama.ErrGroupSubscribedToTopic) {
		t.Fatalf("while it is subscribed: %v", err)
	}
}

func TestLeadersAndReassignments(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		if !config.Version.IsAtLeast(sarama.V2_4_0_0) {
			t.Skip("since 2.4")
		}
		admin, topic := adminOf(t, config), topicOf(t, "leaders", 1)
		elected := support.Value(admin.ElectLeaders(sarama.PreferredElection, map[string][]int32{topic: {0}}))(t)
		equal(t, "election", elected[topic][0].ErrorCode, sarama.ErrElectionNotNeeded)
		_, controller, err := admin.DescribeCluster()
		must(t, err)
		must(t, admin.AlterPartitionReassignments(topic, [][]int32{{controller}}))
		if err := admin.AlterPartitionReassignments(topic, [][]int32{{4711}}); !errors.Is(err, sarama.ErrInvalidReplicaAssignment) {
			t.Fatalf("to nowhere: %v", err)
		}
		moving := support.Value(admin.ListPartitionReassignments(topic, []int32{0}))(t)
		equal(t, "moving", len(moving[topic]), 0)
	})
}

func TestAclsWithoutAnAuthorizer(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		admin := adminOf(t, config)
		filter := sarama.AclFilter{ResourceType: sarama.AclResourceTopic, ResourcePatternTypeFilter: sarama.AclPatternAny, Operation: sarama.AclOperationAny, PermissionType: sarama.AclPermissionAny, Version: 1}
		if _, err := admin.ListAcls(filter); !errors.Is(err, sarama.ErrSecurityDisabled) {
			t.Fatalf("list: %v", err)
		}
		if _, err := admin.DeleteACL(filter, false); !errors.Is(err, sarama.ErrSecurityDisabled) {
			t.Fatalf("delete: %v", err)
		}
		resource := sarama.Resource{ResourceType: sarama.AclResourceTopic, ResourceName: "x", ResourcePatternType: sarama.AclPatternLiteral}
		rule := sarama.Acl{Principal: "User:x", Host: "*", Operation: sarama.AclOperationAll, PermissionType: sarama.AclPermissionAllow}
		if err := admin.CreateACL(resource, rule); !errors.Is(err, sarama.ErrSecurityDisabled) {
			t.Fatalf("create: %v", err)
		}
	})
}

// What the broker does not have yet is refused at once, and the connection serves the next request.
func TestQuotasAndScramCredentialsAreRefused(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		if !support.Ours() {
			t.Skip("Kafka has them")
		}
		if !config.Version.IsAtLeast(sarama.V2_7_0_0) {
			t.Skip("since 2.7")
		}
		admin := adminOf(t, config)
		entity := []sarama.QuotaEntityComponent{{EntityType: sarama.QuotaEntityUser, MatchType: sarama.QuotaMatchExact, Name: "x"}}
		for what, ask := range map[string]func() error{
			"DescribeClientQuotas": func() error {
				_, err := admin.DescribeClientQuotas([]sarama.QuotaFilterComponent{{EntityType: sarama.QuotaEntityUser, MatchType: sarama.QuotaMatchAny}}, false)
				return err
			},
			"AlterClientQuotas": func() error {
				return admin.AlterClientQuotas(entity, sarama.ClientQuotasOp{Key: "producer_byte_rate", Value: 1000}, false)
			},
			"DescribeUserScramCredentials": func() error {
				_, err := admin.DescribeUserScramCredentials(nil)
				return err
			},
			"AlterUserScramCredentials": func() error {
				_, err := admin.UpsertUserScramCredentials([]sarama.AlterUserScramCredentialsUpsert{{Name: "x", Mechanism: sarama.SCRAM_MECHANISM_SHA_256, Iterations: 4096, Salt: []byte("salt"), Password: []byte("secret")}})
				return err
			},
		} {
			if err := ask(); !errors.Is(err, sarama.ErrUnsupportedVersion) {
				t.Fatalf("%s: %v", what, err)
			}
			support.Value(admin.ListTopics())(t)
		}
	})
}

func TestFeatureLevels(t *testing.T) {
	t.Parallel()
	admin := adminOf(t, newest())
	results, err := admin.UpdateFeatures([]sarama.FeatureUpdate{{Feature: "no.such.feature", MaxVersionLevel: 1}})
	refused := errors.Is(err, sarama.ErrInvalidUpdateVersion)
	for _, result := range results {
		refused = refused || errors.Is(result.ErrorCode, sarama.ErrInvalidUpdateVersion)
	}
	if !refused {
		t.Fatalf("an unknown feature: %v, %v", err, results)
	}
}
