package sarama_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"bayou/test/clients/go/support"

	"github.com/IBM/sarama"
)

func consume(t *testing.T, config *sarama.Config, topic string, partition int32, from int64) sarama.PartitionConsumer {
	t.Helper()
	consumer := support.Value(sarama.NewConsumer([]string{support.Broker(t)}, config))(t)
	stream, err := consumer.ConsumePartition(topic, partition, from)
	must(t, err)
	t.Cleanup(func() { consumer.Close() })
	return stream
}

func TestConsumeFromTheOldestTheNewestAndInBetween(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		topic := topicOf(t, "from", 1)
		send(t, config, numbered(topic, "a", 10, 1)...)
		oldest := consume(t, config, topic, 0, sarama.OffsetOldest)
		middle := consume(t, config, topic, 0, 7)
		newest := consume(t, config, topic, 0, sarama.OffsetNewest)
		equal(t, "oldest", string(next(t, oldest).Value), "a-0")
		equal(t, "middle", string(next(t, middle).Value), "a-7")
		// The end is looked up when the stream is made.
		send(t, config, numbered(topic, "b", 1, 1)...)
		equal(t, "newest", string(next(t, newest).Value), "b-0")
		equal(t, "high watermark", newest.HighWaterMarkOffset(), int64(11))
	})
}

func TestOffsetsByTime(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		topic := topicOf(t, "by-time", 1)
		for _, ms := range []int64{1_000, 2_000, 3_000, 3_000, 5_000} {
			send(t, config, &sarama.ProducerMessage{Topic: topic, Timestamp: time.UnixMilli(ms)})
		}
		client := clientOf(t, config)
		got := []int64{}
		for _, ms := range []int64{1, 1_000, 1_001, 3_000, 4_000, 5_000, 5_001, sarama.OffsetOldest, sarama.OffsetNewest} {
			got = append(got, support.Value(client.GetOffset(topic, 0, ms))(t))
		}
		equal(t, "offsets", got, []int64{0, 0, 1, 2, 4, 4, -1, 0, 5})
	})
}

func TestOffsetsThatAreOutOfRange(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		topic := topicOf(t, "range", 1)
		send(t, config, numbered(topic, "a", 10, 1)...)
		consumer := support.Value(sarama.NewConsumer([]string{support.Broker(t)}, config))(t)
		defer consumer.Close()
		if _, err := consumer.ConsumePartition(topic, 0, 11); !errors.Is(err, sarama.ErrOffsetOutOfRange) {
			t.Fatalf("beyond the end: %v", err)
		}
		must(t, adminOf(t, newest()).DeleteRecords(topic, map[int32]int64{0: 5}))
		if _, err := consumer.ConsumePartition(topic, 0, 4); !errors.Is(err, sarama.ErrOffsetOutOfRange) {
			t.Fatalf("before the start: %v", err)
		}
		equal(t, "the start", string(read(t, config, topic, 0, sarama.OffsetOldest, 1)[0].Value), "a-5")
	})
}

func TestConsumerWhoseNextRecordsAreDeletedIsTold(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		topic := topicOf(t, "pulled-away", 1)
		send(t, config, numbered(topic, "a", 10, 1)...)
		// The check of the range happens as the stream is made; what is asked of the broker afterwards is its own business.
		stream := consume(t, config, topic, 0, 0)
		next(t, stream)
		stream.Pause()
		send(t, config, numbered(topic, "b", 10, 1)...)
		must(t, adminOf(t, newest()).DeleteRecords(topic, map[int32]int64{0: 20}))
		stream.Resume()
		ended := make(chan struct{})
		go func() {
			for range stream.Messages() {
			}
			close(ended)
		}()
		select {
		case err := <-stream.Errors():
			if err != nil && !errors.Is(err, sarama.ErrOffsetOutOfRange) {
				t.Fatal(err)
			}
		case <-ended:
		case <-time.After(500 * time.Millisecond):
			// It had all of them in hand already: then it goes on behind them.
		}
	})
}

func TestPauseAndResume(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		topic := topicOf(t, "pause", 2)
		send(t, config, numbered(topic, "a", 2, 2)...)
		paused, other := consume(t, config, topic, 0, 0), consume(t, config, topic, 1, 0)
		next(t, paused)
		next(t, other)
		paused.Pause()
		for n := range 3 {
			send(t, config, numbered(topic, fmt.Sprintf("b%d", n), 2, 2)...)
			next(t, other)
		}
		paused.Resume()
		for n := range int64(3) {
			equal(t, "nothing is skipped", next(t, paused).Offset, n+1)
		}
	})
}

func TestReadCommittedSeesWhatIsNotPartOfATransaction(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		topic := topicOf(t, "committed", 1)
		config.Consumer.IsolationLevel = sarama.ReadCommitted
		messages := numbered(topic, "a", 50, 1)
		send(t, config, messages...)
		equal(t, "values", valuesOf(read(t, config, topic, 0, 0, 50)), sentValues(messages))
	})
}

func TestConsumerGoesOnWhenItsBrokerDies(t *testing.T) {
	support.MayDie(t)
	topic := topicOf(t, "consumer-crash", 1)
	config := newest()
	config.Producer.Retry.Max = 100
	stream := consume(t, config, topic, 0, 0)
	producer := syncProducer(t, config)
	expected := int64(0)
	round := func() {
		for range 20 {
			_, _, err := producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("x")})
			must(t, err)
		}
		for range 20 {
			select {
			case message := <-stream.Messages():
				equal(t, "offset", message.Offset, expected)
				expected++
			case err := <-stream.Errors():
				t.Logf("told: %v", err)
			case <-time.After(support.Patience):
				t.Fatal("no message")
			}
			for len(stream.Errors()) > 0 {
				<-stream.Errors()
			}
		}
	}
	round()
	for _, interrupt := range []func(testing.TB){support.Crash, support.Restart} {
		drained := make(chan struct{})
		go func() {
			for {
				select {
				case <-stream.Errors():
				case <-drained:
					return
				}
			}
		}()
		interrupt(t)
		close(drained)
		round()
	}
}

func TestClientSeesNewTopicsAndPartitions(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		config.Metadata.AllowAutoTopicCreation = false
		client := clientOf(t, config)
		missing := unique("missing")
		if err := client.RefreshMetadata(missing); !errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
			t.Fatalf("a missing topic: %v", err)
		}
		topic := topicOf(t, "grows", 1)
		equal(t, "one", len(support.Value(client.Partitions(topic))(t)), 1)
		must(t, adminOf(t, newest()).CreatePartitions(topic, 5, nil, false))
		eventually(t, "five", func() bool {
			must(t, client.RefreshMetadata(topic))
			return len(support.Value(client.Partitions(topic))(t)) == 5
		})
		leader := support.Value(client.Leader(topic, 4))(t)
		equal(t, "the leader is the controller", leader.ID(), support.Value(client.Controller())(t).ID())
		equal(t, "replicas", support.Value(client.Replicas(topic, 4))(t), []int32{leader.ID()})
	})
}

func TestOffsetManagerCommitsForAGroupWithoutMembers(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		topic, group := topicOf(t, "managed", 1), unique("managed")
		client := clientOf(t, config)
		for offset := range int64(3) {
			manager := support.Value(sarama.NewOffsetManagerFromClient(group, client))(t)
			partition := support.Value(manager.ManagePartition(topic, 0))(t)
			at, note := partition.NextOffset()
			if offset == 0 {
				equal(t, "nothing yet", at, sarama.OffsetOldest)
			} else {
				equal(t, "the last commit", []any{at, note}, []any{offset, fmt.Sprint("note ", offset)})
			}
			partition.MarkOffset(offset+1, fmt.Sprint("note ", offset+1))
			manager.Commit()
			must(t, partition.Close())
			must(t, manager.Close())
		}
	})
}
