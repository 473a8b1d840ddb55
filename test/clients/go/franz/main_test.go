// Package franz_test holds a broker against github.com/twmb/franz-go and its admin client kadm, on the ground that its own integration tests cover: chains of groups that
// read, write and commit while members come and go, consuming by hand, producing through everything that happens to a topic, and every call of the admin client.
package franz_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"bayou/test/clients/go/support"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

var (
	must       = support.Must
	equal      = support.Equal
	eventually = support.Eventually
	unique     = support.Unique
)

var versions = map[string]*kversion.Versions{"2.1": kversion.V2_1_0(), "3.6": kversion.V3_6_0(), "newest": kversion.Stable()}

// eachVersion runs a test as a client of each version, beside each other.
func eachVersion(t *testing.T, test func(*testing.T, kgo.Opt)) {
	t.Parallel()
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, kgo.MaxVersions(version))
		})
	}
}

// patient gives a context that ends long after everything should have happened.
func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*support.Patience)
	t.Cleanup(cancel)
	return ctx
}

func clientOf(t *testing.T, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client := support.Value(kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(support.Broker(t)), kgo.FetchMaxWait(200 * time.Millisecond), kgo.MetadataMinAge(100 * time.Millisecond), kgo.ClientID("franz-tests"),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.RecordPartitioner(kgo.ManualPartitioner()),
	}, options...)...))(t)
	t.Cleanup(client.Close)
	return client
}

func adminOf(t *testing.T, options ...kgo.Opt) *kadm.Client {
	t.Helper()
	return kadm.NewClient(clientOf(t, options...))
}

// topicOf creates a topic and waits until it is in the metadata; configs are name=value.
func topicOf(t *testing.T, what string, partitions int32, configs ...string) string {
	t.Helper()
	topic := unique(what)
	makeTopic(t, topic, partitions, configs...)
	return topic
}

func makeTopic(t *testing.T, topic string, partitions int32, configs ...string) {
	t.Helper()
	entries := map[string]*string{}
	for _, each := range configs {
		name, value, _ := strings.Cut(each, "=")
		entries[name] = &value
	}
	admin := adminOf(t)
	eventually(t, "the creation of "+topic, func() bool {
		_, err := admin.CreateTopic(patient(t), partitions, 1, entries, topic)
		return err == nil
	})
	visible(t, topic, partitions)
}

func visible(t *testing.T, topic string, partitions int32) {
	t.Helper()
	admin := adminOf(t)
	eventually(t, "metadata of "+topic, func() bool {
		topics, err := admin.ListTopics(patient(t), topic)
		return err == nil && topics[topic].Err == nil && len(topics[topic].Partitions) == int(partitions)
	})
}

// numbered gives records "prefix-0" and on, which go to the partitions in turn.
func numbered(topic, prefix string, count int, partitions int32) []*kgo.Record {
	records := make([]*kgo.Record, count)
	for n := range records {
		records[n] = &kgo.Record{Topic: topic, Partition: int32(n) % partitions, Value: []byte(prefix + "-" + strconv.Itoa(n))}
	}
	return records
}

func send(t *testing.T, records []*kgo.Record, options ...kgo.Opt) {
	t.Helper()
	client := clientOf(t, options...)
	defer client.Close()
	must(t, client.ProduceSync(patient(t), records...).FirstErr())
}

// poll gives so many records of a client that consumes; errors end the test.
func poll(t *testing.T, client *kgo.Client, count int) []*kgo.Record {
	t.Helper()
	records := []*kgo.Record{}
	ctx := patient(t)
	for len(records) < count {
		fetches := client.PollFetches(ctx)
		must(t, errors.Join(errorsOf(fetches)...))
		records = append(records, fetches.Records()...)
	}
	if len(records) > count {
		t.Fatalf("%d records, and not %d", len(records), count)
	}
	return records
}

func errorsOf(fetches kgo.Fetches) (all []error) {
	for _, each := range fetches.Errors() {
		all = append(all, fmt.Errorf("%s[%d]: %w", each.Topic, each.Partition, each.Err))
	}
	return
}

// from consumes one partition.
func from(topic string, partition int32, offset kgo.Offset) kgo.Opt {
	return kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: offset}})
}

func valuesOf(records []*kgo.Record) []string {
	values := make([]string, len(records))
	for n, record := range records {
		values[n] = string(record.Value)
	}
	return values
}

func endOf(t *testing.T, topic string, partition int32) int64 {
	t.Helper()
	listed := support.Value(adminOf(t).ListEndOffsets(patient(t), topic))(t)
	offset, _ := listed.Lookup(topic, partition)
	must(t, offset.Err)
	return offset.Offset
}
