// Package sarama_test holds a broker against github.com/IBM/sarama, on the ground that its own functional tests cover: producers, consumers, groups and the cluster admin,
// as a client of Kafka 2.1, of 3.6 and of the newest version that it knows, which differ in the versions of the protocol that they speak.
//
// Transactions are left out of this folder and of the one for franz-go: the broker does not have them yet.
package sarama_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"bayou/test/clients/go/support"

	"github.com/IBM/sarama"
)

var (
	must       = support.Must
	equal      = support.Equal
	eventually = support.Eventually
	unique     = support.Unique
)

var versions = []sarama.KafkaVersion{sarama.V2_1_0_0, sarama.V3_6_0_0, sarama.MaxVersion}

// eachVersion runs a test as a client of each version, beside each other.
func eachVersion(t *testing.T, test func(*testing.T, *sarama.Config)) {
	t.Parallel()
	for _, version := range versions {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			test(t, configOf(version))
		})
	}
}

func newest() *sarama.Config { return configOf(sarama.MaxVersion) }

func configOf(version sarama.KafkaVersion) *sarama.Config {
	config := sarama.NewConfig()
	config.Version = version
	config.ClientID = "sarama-tests"
	config.Producer.Return.Successes = true
	config.Consumer.Return.Errors = true
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Interval = 100 * time.Millisecond
	config.Consumer.Group.Heartbeat.Interval = 200 * time.Millisecond
	config.Consumer.Group.Session.Timeout = 6 * time.Second
	config.Metadata.Retry.Max = 20
	return config
}

func clientOf(t *testing.T, config *sarama.Config) sarama.Client {
	t.Helper()
	client := support.Value(sarama.NewClient([]string{support.Broker(t)}, config))(t)
	t.Cleanup(func() { client.Close() })
	return client
}

func adminOf(t *testing.T, config *sarama.Config) sarama.ClusterAdmin {
	t.Helper()
	admin := support.Value(sarama.NewClusterAdmin([]string{support.Broker(t)}, config))(t)
	t.Cleanup(func() { admin.Close() })
	return admin
}

// topicOf creates a topic; configs are name=value.
func topicOf(t *testing.T, what string, partitions int32, configs ...string) string {
	t.Helper()
	topic := unique(what)
	entries := map[string]*string{}
	for _, each := range configs {
		name, value, _ := strings.Cut(each, "=")
		entries[name] = &value
	}
	must(t, adminOf(t, newest()).CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: entries}, false))
	visible(t, topic, partitions)
	return topic
}

func syncProducer(t *testing.T, config *sarama.Config) sarama.SyncProducer {
	t.Helper()
	producer := support.Value(sarama.NewSyncProducer([]string{support.Broker(t)}, config))(t)
	t.Cleanup(func() { producer.Close() })
	return producer
}

// numbered gives messages "prefix-0" and on, which go to the partitions in turn.
func numbered(topic, prefix string, count int, partitions int32) []*sarama.ProducerMessage {
	messages := make([]*sarama.ProducerMessage, count)
	for n := range messages {
		messages[n] = &sarama.ProducerMessage{Topic: topic, Partition: int32(n) % partitions, Value: sarama.StringEncoder(fmt.Sprintf("%s-%d", prefix, n))}
	}
	return messages
}

// send produces with the partitions that the messages name.
func send(t *testing.T, config *sarama.Config, messages ...*sarama.ProducerMessage) {
	t.Helper()
	manual := *config
	manual.Producer.Partitioner = sarama.NewManualPartitioner
	must(t, syncProducer(t, &manual).SendMessages(messages))
}

// read gives so many messages of a partition from an offset on, and fails where one does not come or has a wrong place.
func read(t *testing.T, config *sarama.Config, topic string, partition int32, from int64, count int) []*sarama.ConsumerMessage {
	t.Helper()
	consumer := support.Value(sarama.NewConsumer([]string{support.Broker(t)}, config))(t)
	defer consumer.Close()
	stream := support.Value(consumer.ConsumePartition(topic, partition, from))(t)
	defer stream.Close()
	messages := []*sarama.ConsumerMessage{}
	for len(messages) < count {
		messages = append(messages, next(t, stream))
	}
	for n, message := range messages {
		if n > 0 && message.Offset <= messages[n-1].Offset {
			t.Fatalf("offset %d after %d", message.Offset, messages[n-1].Offset)
		}
	}
	return messages
}

func next(t *testing.T, stream sarama.PartitionConsumer) *sarama.ConsumerMessage {
	t.Helper()
	select {
	case message, open := <-stream.Messages():
		if !open {
			t.Fatal("the consumer ended")
		}
		return message
	case err := <-stream.Errors():
		t.Fatal(err)
	case <-time.After(support.Patience):
		t.Fatal("no message")
	}
	return nil
}

func valuesOf(messages []*sarama.ConsumerMessage) []string {
	values := make([]string, len(messages))
	for n, message := range messages {
		values[n] = string(message.Value)
	}
	return values
}

func sentValues(messages []*sarama.ProducerMessage) []string {
	values := make([]string, len(messages))
	for n, message := range messages {
		bytes, _ := message.Value.Encode()
		values[n] = string(bytes)
	}
	return values
}

func endOf(t *testing.T, topic string, partition int32) int64 {
	t.Helper()
	return support.Value(clientOf(t, newest()).GetOffset(topic, partition, sarama.OffsetNewest))(t)
}

// visible waits until the topic is in the metadata, which Kafka changes after it has answered.
func visible(t *testing.T, topic string, partitions int32) {
	t.Helper()
	config := newest()
	config.Metadata.AllowAutoTopicCreation = false
	client := clientOf(t, config)
	eventually(t, "metadata of "+topic, func() bool {
		known, err := client.Partitions(topic)
		return err == nil && len(known) == int(partitions)
	})
}
