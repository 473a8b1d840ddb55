package franz_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"bayou/test/clients/go/support"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestEveryCodecComesBackAsItWasSent(t *testing.T) {
	eachVersion(t, func(t *testing.T, version kgo.Opt) {
		topic := topicOf(t, "codecs", 1)
		wanted := []string{}
		for name, codec := range map[string]kgo.CompressionCodec{
			"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "gzip-9": kgo.GzipCompression().WithLevel(9), "snappy": kgo.SnappyCompression(),
			"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(), "zstd-1": kgo.ZstdCompression().WithLevel(1),
		} {
			records := numbered(topic, name+string(bytes.Repeat([]byte("x"), 200)), 300, 1)
			send(t, records, version, kgo.ProducerBatchCompression(codec))
			wanted = append(wanted, valuesOf(records)...)
		}
		equal(t, "values", valuesOf(poll(t, clientOf(t, version, kgo.ConsumeTopics(topic)), len(wanted))), wanted)
	})
}

func TestManyRecordsKeepTheirOrder(t *testing.T) {
	for name, options := range map[string][]kgo.Opt{
		"idempotent": nil,
		"leader":     {kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()), kgo.MaxProduceRequestsInflightPerBroker(1)},
		"no acks":    {kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.NoAck()), kgo.MaxProduceRequestsInflightPerBroker(1)},
		"small":      {kgo.ProducerBatchMaxBytes(1024)},
	} {
		t.Run(name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, version kgo.Opt) {
				topic := topicOf(t, "many", 3)
				const count = 6000
				client := clientOf(t, append([]kgo.Opt{version}, options...)...)
				var failure atomic.Value
				for _, record := range numbered(topic, "m", count, 3) {
					client.Produce(context.Background(), record, func(_ *kgo.Record, err error) {
						if err != nil {
							failure.Store(err)
						}
					})
				}
				must(t, client.Flush(patient(t)))
				if err := failure.Load(); err != nil {
					t.Fatal(err)
				}
				last := map[int32]int{0: -3, 1: -2, 2: -1}
				for _, record := range poll(t, clientOf(t, version, kgo.ConsumeTopics(topic)), count) {
					equal(t, "value", string(record.Value), fmt.Sprint("m-", last[record.Partition]+3))
					equal(t, "offset", record.Offset, int64(last[record.Partition]+3)/3)
					last[record.Partition] += 3
				}
			})
		})
	}
}

func TestKeysValuesAndHeadersThatAreNullOrEmpty(t *testing.T) {
	eachVersion(t, func(t *testing.T, version kgo.Opt) {
		topic := topicOf(t, "nulls", 1)
		headers := []kgo.RecordHeader{{Key: "twice", Value: []byte("1")}, {Key: "", Value: []byte{}}, {Key: "twice", Value: []byte("2")}, {Key: "n", Value: nil}, {Key: "ключ", Value: []byte{0, 255}}}
		send(t, []*kgo.Record{
			{Topic: topic, Key: []byte("k"), Value: nil}, {Topic: topic, Key: nil, Value: []byte("v")}, {Topic: topic, Key: []byte{}, Value: []byte{}}, {Topic: topic, Headers: headers},
		}, version)
		seen := poll(t, clientOf(t, version, kgo.ConsumeTopics(topic)), 4)
		null := [][]bool{}
		for _, record := range seen {
			null = append(null, []bool{record.Key == nil, record.Value == nil})
		}
		equal(t, "null", null, [][]bool{{false, true}, {true, false}, {false, false}, {true, true}})
		equal(t, "headers", seen[3].Headers, headers)
	})
}

func TestRecordsThatAreTooLarge(t *testing.T) {
	eachVersion(t, func(t *testing.T, version kgo.Opt) {
		topic := topicOf(t, "small", 1, "max.message.bytes=10000")
		client := clientOf(t, version, kgo.ProducerBatchCompression(kgo.NoCompression()))
		if err := client.ProduceSync(patient(t), &kgo.Record{Topic: topic, Value: make([]byte, 20_000)}).FirstErr(); !errors.Is(err, kerr.MessageTooLarge) {
			t.Fatalf("too large: %v", err)
		}
		first := support.Value(client.ProduceSync(patient(t), &kgo.Record{Topic: topic, Value: make([]byte, 9_000)}).First())(t)
		equal(t, "offset of the first that fits", first.Offset, int64(0))
	})
}

func TestRecordsOfManyMegabytes(t *testing.T) {
	eachVersion(t, func(t *testing.T, version kgo.Opt) {
		topic := topicOf(t, "large", 1, "max.message.bytes=12000000")
		records := []*kgo.Record{}
		for _, size := range []int{1, 900_000, 10, 8_000_000, 3} {
			records = append(records, &kgo.Record{Topic: topic, Value: bytes.Repeat([]byte{byte(size)}, size)})
		}
		send(t, records, version, kgo.ProducerBatchMaxBytes(12_000_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
		for n, record := range poll(t, clientOf(t, version, kgo.ConsumeTopics(topic), kgo.FetchMaxPartitionBytes(1024)), len(records)) {
			if !bytes.Equal(record.Value, records[n].Value) {
				t.Fatalf("record %d: %d bytes", n, len(record.Value))
			}
		}
	})
}

func TestTimestamps(t *testing.T) {
	eachVersion(t, func(t *testing.T, version kgo.Opt) {
		create, appended := topicOf(t, "create-time", 1), topicOf(t, "append-time", 1, "message.timestamp.type=LogAppendTime")
		at := time.UnixMilli(1_600_000_000_123)
		begun := time.Now().Add(-time.Second)
		send(t, []*kgo.Record{{Topic: create, Timestamp: at}, {Topic: appended, Timestamp: at}}, version)
		given := poll(t, clientOf(t, version, kgo.ConsumeTopics(create)), 1)[0]
		equal(t, "of the producer", []int64{given.Timestamp.UnixMilli(), int64(given.Attrs.TimestampType())}, []int64{at.UnixMilli(), 0})
		taken := poll(t, clientOf(t, version, kgo.ConsumeTopics(appended)), 1)[0]
		if taken.Timestamp.Before(begun) || taken.Attrs.TimestampType() != 1 {
			t.Fatalf("of the broker: %s, %d", taken.Timestamp, taken.Attrs.TimestampType())
		}
		err := clientOf(t, version).ProduceSync(patient(t), &kgo.Record{Topic: create, Timestamp: time.Now().Add(48 * time.Hour)}).FirstErr()
		if !errors.Is(err, kerr.InvalidTimestamp) {
			t.Fatalf("the day after tomorrow: %v", err)
		}
	})
}

func TestTopicsThatAreNotThere(t *testing.T) {
	eachVersion(t, func(t *testing.T, version kgo.Opt) {
		strict := clientOf(t, version, kgo.UnknownTopicRetries(0))
		if err := strict.ProduceSync(patient(t), &kgo.Record{Topic: unique("absent")}).FirstErr(); !errors.Is(err, kerr.UnknownTopicOrPartition) {
			t.Fatalf("absent: %v", err)
		}
		if err := strict.ProduceSync(patient(t), &kgo.Record{Topic: "in/valid"}).FirstErr(); !errors.Is(err, kerr.InvalidTopicException) {
			t.Fatalf("invalid: %v", err)
		}
		lenient := clientOf(t, version, kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(-1))
		made := support.Value(lenient.ProduceSync(patient(t), &kgo.Record{Topic: unique("made-by-asking")}).First())(t)
		equal(t, "offset", made.Offset, int64(0))
	})
}

// This client keeps to the topic that it knew, by its id: producer and consumer are told, and go on when the application purges the topic.
func TestProducerAndConsumerAreToldWhenTheirTopicIsDeletedAndMadeAgain(t *testing.T) {
	eachVersion(t, func(t *testing.T, version kgo.Opt) {
		topic := topicOf(t, "again", 3)
		options := []kgo.Opt{version, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.RecordDeliveryTimeout(2 * time.Second), kgo.KeepRetryableFetchErrors(), kgo.MetadataMaxAge(250 * time.Millisecond)}
		producer, consumer := clientOf(t, options...), clientOf(t, append(options, kgo.ConsumeTopics(topic))...)
		must(t, producer.ProduceSync(patient(t), numbered(topic, "before", 9, 3)...).FirstErr())
		poll(t, consumer, 9)
		support.Value(adminOf(t).DeleteTopic(patient(t), topic))(t)
		makeTopic(t, topic, 3)
		eventually(t, "what is new arrives", func() bool {
			if err := producer.ProduceSync(patient(t), &kgo.Record{Topic: topic, Value: []byte("after")}).FirstErr(); err != nil {
				producer.PurgeTopicsFromProducing(topic)
			}
			ctx, cancel := context.WithTimeout(patient(t), 500*time.Millisecond)
			defer cancel()
			fetches := consumer.PollFetches(ctx)
			for _, record := range fetches.Records() {
				equal(t, "value", string(record.Value), "after")
				return true
			}
			for _, each := range fetches.Errors() {
				if each.Topic == topic {
					consumer.PurgeTopicsFromConsuming(topic)
					consumer.AddConsumeTopics(topic)
				}
			}
			return false
		})
	})
}

func TestIdempotentProducerWhoseBrokerDies(t *testing.T) {
	support.MayDie(t)
	topic := topicOf(t, "dying", 3)
	const count = 6000
	producer := clientOf(t, kgo.ProducerBatchMaxBytes(2048))
	consumer := clientOf(t, kgo.ConsumeTopics(topic))
	reported := make(chan error, count)
	go func() {
		for n, record := range numbered(topic, "m", count, 3) {
			producer.Produce(context.Background(), record, func(_ *kgo.Record, err error) { reported <- err })
			if n%20 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	}()
	interrupts := []func(testing.TB){support.Crash, support.Restart}
	for n := range count {
		if n%2500 == 500 && n/2500 < len(interrupts) {
			interrupts[n/2500](t)
		}
		must(t, <-reported)
	}
	last := map[int32]int{0: -3, 1: -2, 2: -1}
	ctx := patient(t)
	for seen := 0; seen < count; {
		fetches := consumer.PollFetches(ctx)
		must(t, ctx.Err())
		for _, record := range fetches.Records() {
			equal(t, "value", string(record.Value), fmt.Sprint("m-", last[record.Partition]+3))
			last[record.Partition] += 3
			seen++
		}
	}
	equal(t, "end", endOf(t, topic, 0), int64(count/3))
}
