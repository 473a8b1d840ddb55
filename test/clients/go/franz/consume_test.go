package franz_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"bayou/test/clients/go/support"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestConsumeFromPlacesOfEveryKind(t *testing.T) {
	eachVersion(t, func(t *testing.T, version kgo.Opt) {
		topic := topicOf(t, "from", 1)
		records := numbered(topic, "a", 10, 1)
		for n, record := range records {
			record.Timestamp = time.UnixMilli(int64(n+1) * 1000)
		}
		send(t, records, version)
		epoch := poll(t, clientOf(t, version, from(topic, 0, kgo.NewOffset().At(5))), 5)[0].LeaderEpoch
		for what, each := range map[string]struct {
			offset kgo.Offset
			first  int
		}{
			"start": {kgo.NewOffset().AtStart(), 0}, "exact": {kgo.NewOffset().At(7), 7}, "from the end": {kgo.NewOffset().AtEnd().Relative(-3), 7},
			"from the start": {kgo.NewOffset().AtStart().Relative(2), 2}, "by time": {kgo.NewOffset().AfterMilli(4500), 4}, "at a time": {kgo.NewOffset().AfterMilli(4000), 3},
			"with an epoch": {kgo.NewOffset().At(5).WithEpoch(epoch), 5},
		} {
			seen := poll(t, clientOf(t, version, from(topic, 0, each.offset)), 10-each.first)
			equal(t, what, string(seen[0].Value), fmt.Sprint("a-", each.first))
		}
		end := clientOf(t, version, from(topic, 0, kgo.NewOffset().AtEnd()))
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		equal(t, "nothing at the end", end.PollFetches(ctx).NumRecords(), 0)
		send(t, numbered(topic, "b", 1, 1), version)
		equal(t, "then what is new", string(poll(t, end, 1)[0].Value), "b-0")
	})
}

func TestOffsetsThatAreOutOfRange(t *testing.T) {
	eachVersion(t, func(t *testing.T, version kgo.Opt) {
		topic := topicOf(t, "range", 1)
		send(t, numbered(topic, "a", 10, 1), version)
		deleted := kadm.Offsets{}
		deleted.AddOffset(topic, 0, 5, -1)
		must(t, support.Value(adminOf(t).DeleteRecords(patient(t), deleted))(t).Error())
		for _, offset := range []int64{4, 11} {
			client := clientOf(t, version, from(topic, 0, kgo.NewOffset().At(offset)), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
			if err := client.PollFetches(patient(t)).Err(); !errors.Is(err, kerr.OffsetOutOfRange) {
				t.Fatalf("%d: %v", offset, err)
			}
		}
		equal(t, "reset to the start", string(poll(t, clientOf(t, version, from(topic, 0, kgo.NewOffset().At(4))), 5)[0].Value), "a-5")
	})
}

func TestPartitionsAreAddedPausedMovedAndRemoved(t *testing.T) {
	eachVersion(t, func(t *testing.T, version kgo.Opt) {
		topic := topicOf(t, "by-hand", 2)
		client := clientOf(t, version, from(topic, 0, kgo.NewOffset().AtStart()))
		send(t, numbered(topic, "a", 4, 2), version)
		equal(t, "one partition", valuesOf(poll(t, client, 2)), []string{"a-0", "a-2"})
		client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {1: kgo.NewOffset().At(1)}})
		equal(t, "another", valuesOf(poll(t, client, 1)), []string{"a-3"})
		client.PauseFetchPartitions(map[string][]int32{topic: {0}})
		send(t, numbered(topic, "b", 4, 2), version)
		equal(t, "one paused", valuesOf(poll(t, client, 2)), []string{"b-1", "b-3"})
		client.ResumeFetchPartitions(map[string][]int32{topic: {0}})
		equal(t, "and resumed", valuesOf(poll(t, client, 2)), []string{"b-0", "b-2"})
		client.SetOffsets(map[string]map[int32]kgo.EpochOffset{topic: {1: {Epoch: -1, Offset: 0}}})
		equal(t, "from the start again", valuesOf(poll(t, client, 4)), []string{"a-1", "a-3", "b-1", "b-3"})
		client.RemoveConsumePartitions(map[string][]int32{topic: {0}})
		send(t, numbered(topic, "c", 2, 2), version)
		equal(t, "one removed", valuesOf(poll(t, client, 1)), []string{"c-1"})
	})
}

func TestSmallFetchesSeeEverything(t *testing.T) {
	for name, options := range map[string][]kgo.Opt{
		"one byte":        {kgo.FetchMaxBytes(1), kgo.FetchMaxPartitionBytes(1)},
		"no sessions":     {kgo.DisableFetchSessions(), kgo.FetchMaxPartitionBytes(5000)},
		"read committed":  {kgo.FetchIsolationLevel(kgo.ReadCommitted())},
		"many min bytes":  {kgo.FetchMinBytes(1_000_000)},
		"one fetch alone": {kgo.MaxConcurrentFetches(1)},
	} {
		t.Run(name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, version kgo.Opt) {
				topic := topicOf(t, "small", 4)
				for n := range 10 {
					send(t, numbered(topic, fmt.Sprint(n), 40, 4), version)
				}
				next := map[int32]int64{}
				for _, record := range poll(t, clientOf(t, append([]kgo.Opt{version, kgo.ConsumeTopics(topic)}, options...)...), 400) {
					equal(t, "offset", record.Offset, next[record.Partition])
					next[record.Partition]++
				}
			})
		})
	}
}

func TestTopicsThatMatchAnExpressionAreFoundAsTheyAreMade(t *testing.T) {
	eachVersion(t, func(t *testing.T, version kgo.Opt) {
		prefix := unique("regex")
		client := clientOf(t, version, kgo.ConsumeRegex(), kgo.ConsumeTopics("^"+prefix+"-[ab]$"), kgo.MetadataMaxAge(200*time.Millisecond))
		for _, name := range []string{"-c", "-a", "-b"} {
			makeTopic(t, prefix+name, 1)
			send(t, numbered(prefix+name, name, 1, 1), version)
		}
		found := map[string]bool{}
		for _, record := range poll(t, client, 2) {
			found[record.Topic] = true
		}
		equal(t, "topics", found, map[string]bool{prefix + "-a": true, prefix + "-b": true})
	})
}

func TestPartitionsThatAreAddedAreRead(t *testing.T) {
	eachVersion(t, func(t *testing.T, version kgo.Opt) {
		topic := topicOf(t, "grows", 1)
		client := clientOf(t, version, kgo.ConsumeTopics(topic), kgo.MetadataMaxAge(200*time.Millisecond))
		send(t, numbered(topic, "a", 1, 1), version)
		poll(t, client, 1)
		support.Value(adminOf(t, version).UpdatePartitions(patient(t), 3, topic))(t)
		visible(t, topic, 3)
		send(t, numbered(topic, "b", 3, 3), version)
		poll(t, client, 3)
	})
}

func TestTwoHundredTopicsInOneClient(t *testing.T) {
	t.Parallel()
	prefix := unique("two-hundred")
	admin := adminOf(t)
	topics, records := []string{}, []*kgo.Record{}
	for n := range 200 {
		topics = append(topics, fmt.Sprintf("%s-%d", prefix, n))
		records = append(records, numbered(topics[n], topics[n], 6, 2)...)
	}
	must(t, support.Value(admin.CreateTopics(patient(t), 2, 1, nil, topics...))(t).Error())
	// Kafka answers that they are made before every one of them has a leader.
	send(t, records, kgo.UnknownTopicRetries(-1))
	client := clientOf(t, kgo.ConsumeTopics(topics...))
	count := map[string]int{}
	for _, record := range poll(t, client, len(records)) {
		count[record.Topic]++
	}
	for _, topic := range topics {
		equal(t, topic, count[topic], 6)
	}
	must(t, support.Value(admin.DeleteTopics(patient(t), topics...))(t).Error())
}
