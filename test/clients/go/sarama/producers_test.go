package sarama_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"bayou/test/clients/go/support"

	"github.com/IBM/sarama"
)

func TestProduceOneAfterTheOther(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		topic := topicOf(t, "one-by-one", 1)
		producer := syncProducer(t, config)
		for n := range int64(10) {
			partition, offset, err := producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(fmt.Sprint(n))})
			must(t, err)
			equal(t, "where it went", []int64{int64(partition), offset}, []int64{0, n})
		}
		equal(t, "what is there", valuesOf(read(t, config, topic, 0, 0, 10)), []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"})
	})
}

func TestProduceManyWithKeysKeepsTheOrderOfEachKey(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		topic := topicOf(t, "many", 4)
		config.Producer.Flush.Frequency = 5 * time.Millisecond
		config.Producer.Flush.MaxMessages = 200
		sendAsync(t, config, 4000, func(n int) *sarama.ProducerMessage {
			return &sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder(fmt.Sprint(n % 13)), Value: sarama.StringEncoder(fmt.Sprint(n))}
		})
		last, all := map[string]int{}, 0
		for partition := range int32(4) {
			count := int(endOf(t, topic, partition))
			all += count
			for _, message := range read(t, config, topic, partition, 0, count) {
				var n int
				fmt.Sscan(string(message.Value), &n)
				if before, seen := last[string(message.Key)]; seen && n != before+13 {
					t.Fatalf("key %s: %d after %d", message.Key, n, before)
				}
				last[string(message.Key)] = n
			}
		}
		equal(t, "how many", all, 4000)
	})
}

// sendAsync gives the messages to an asynchronous producer and waits for all reports.
func sendAsync(t *testing.T, config *sarama.Config, count int, message func(n int) *sarama.ProducerMessage) {
	t.Helper()
	producer := support.Value(sarama.NewAsyncProducer([]string{support.Broker(t)}, config))(t)
	go func() {
		for n := range count {
			producer.Input() <- message(n)
		}
	}()
	for range count {
		select {
		case <-producer.Successes():
		case err := <-producer.Errors():
			t.Fatal(err)
		case <-time.After(support.Patience):
			t.Fatal("no report")
		}
	}
	must(t, producer.Close())
}

func TestEveryCodecComesBackAsItWasSent(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		topic := topicOf(t, "codecs", 1)
		codecs := []sarama.CompressionCodec{sarama.CompressionNone, sarama.CompressionGZIP, sarama.CompressionSnappy, sarama.CompressionLZ4, sarama.CompressionZSTD}
		wanted := []string{}
		for _, codec := range codecs {
			compressing := *config
			compressing.Producer.Compression = codec
			messages := numbered(topic, codec.String()+string(bytes.Repeat([]byte("x"), 100)), 300, 1)
			send(t, &compressing, messages...)
			wanted = append(wanted, sentValues(messages)...)
		}
		equal(t, "values", valuesOf(read(t, config, topic, 0, 0, len(wanted))), wanted)
	})
}

func TestLevelsOfCompression(t *testing.T) {
	t.Parallel()
	topic := topicOf(t, "levels", 1)
	wanted := []string{}
	for codec, levels := range map[sarama.CompressionCodec][]int{sarama.CompressionGZIP: {1, 9}, sarama.CompressionZSTD: {1, 3, 7}} {
		for _, level := range levels {
			config := newest()
			config.Producer.Compression, config.Producer.CompressionLevel = codec, level
			messages := numbered(topic, fmt.Sprintf("%s-%d", codec, level), 50, 1)
			send(t, config, messages...)
			wanted = append(wanted, sentValues(messages)...)
		}
	}
	equal(t, "values", valuesOf(read(t, newest(), topic, 0, 0, len(wanted))), wanted)
}

func TestAcks(t *testing.T) {
	for _, acks := range []sarama.RequiredAcks{sarama.NoResponse, sarama.WaitForLocal, sarama.WaitForAll} {
		t.Run(fmt.Sprint(acks), func(t *testing.T) {
			eachVersion(t, func(t *testing.T, config *sarama.Config) {
				topic := topicOf(t, "acks", 1)
				config.Producer.RequiredAcks = acks
				messages := numbered(topic, "m", 100, 1)
				send(t, config, messages...)
				equal(t, "values", valuesOf(read(t, config, topic, 0, 0, 100)), sentValues(messages))
			})
		})
	}
}

func idempotent(config *sarama.Config) *sarama.Config {
	config.Producer.Idempotent = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Net.MaxOpenRequests = 1
	config.Producer.Retry.Max = 100
	config.Producer.Retry.Backoff = 100 * time.Millisecond
	return config
}

func TestIdempotentProducer(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		topic := topicOf(t, "idempotent", 1)
		config = idempotent(config)
		config.Producer.Flush.MaxMessages = 20
		sendAsync(t, config, 1000, func(n int) *sarama.ProducerMessage {
			return &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(fmt.Sprint(n))}
		})
		equal(t, "end", endOf(t, topic, 0), int64(1000))
		for n, message := range read(t, config, topic, 0, 0, 1000) {
			equal(t, "value", string(message.Value), fmt.Sprint(n))
		}
	})
}

func TestIdempotentProducerWhoseBrokerDies(t *testing.T) {
	support.MayDie(t)
	topic := topicOf(t, "dying", 2)
	config := idempotent(newest())
	config.Producer.Flush.MaxMessages = 10
	config.Producer.Partitioner = sarama.NewRoundRobinPartitioner
	producer := support.Value(sarama.NewAsyncProducer([]string{support.Broker(t)}, config))(t)
	const count = 2000
	go func() {
		for n := range count {
			producer.Input() <- &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(fmt.Sprint(n))}
		}
	}()
	crashed := make(chan struct{})
	for n := range count {
		if n == 300 {
			go func() { support.Crash(t); close(crashed) }()
		}
		select {
		case <-producer.Successes():
		case err := <-producer.Errors():
			t.Fatal(err)
		case <-time.After(support.Patience):
			t.Fatal("no report")
		}
	}
	<-crashed
	must(t, producer.Close())
	seen := map[string]bool{}
	for partition := range int32(2) {
		before := -1
		for _, message := range read(t, newest(), topic, partition, 0, int(endOf(t, topic, partition))) {
			var n int
			fmt.Sscan(string(message.Value), &n)
			if seen[string(message.Value)] || n < before {
				t.Fatalf("partition %d: %d after %d", partition, n, before)
			}
			seen[string(message.Value)], before = true, n
		}
	}
	equal(t, "how many", len(seen), count)
}

func TestKeysValuesAndHeadersThatAreNullOrEmpty(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		topic := topicOf(t, "nulls", 1)
		headers := []sarama.RecordHeader{
			{Key: []byte("twice"), Value: []byte("1")}, {Key: []byte("a"), Value: []byte{}}, {Key: []byte("twice"), Value: []byte("2")}, {Key: []byte("n"), Value: nil}, {Key: []byte("ключ"), Value: []byte{0, 255}},
		}
		send(t, config,
			&sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder("k"), Value: nil},
			&sarama.ProducerMessage{Topic: topic, Key: nil, Value: sarama.StringEncoder("v")},
			&sarama.ProducerMessage{Topic: topic, Key: sarama.ByteEncoder{}, Value: sarama.ByteEncoder{}},
			&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("h"), Headers: headers})
		seen := read(t, config, topic, 0, 0, 4)
		equal(t, "a tombstone", []string{string(seen[0].Key), fmt.Sprint(seen[0].Value == nil)}, []string{"k", "true"})
		equal(t, "no key", []string{string(seen[1].Value), fmt.Sprint(seen[1].Key == nil)}, []string{"v", "true"})
		equal(t, "empty is not null", []bool{seen[2].Key == nil, seen[2].Value == nil}, []bool{false, false})
		got := []sarama.RecordHeader{}
		for _, header := range seen[3].Headers {
			got = append(got, *header)
		}
		equal(t, "headers", got, headers)
	})
}

func TestMessagesThatAreTooLarge(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		topic := topicOf(t, "small", 1, "max.message.bytes=10000")
		producer := syncProducer(t, config)
		_, _, err := producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.ByteEncoder(make([]byte, 20_000))})
		if !errors.Is(err, sarama.ErrMessageSizeTooLarge) {
			t.Fatalf("too large: %v", err)
		}
		_, offset, err := producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.ByteEncoder(make([]byte, 9_000))})
		must(t, err)
		equal(t, "offset of the first that fits", offset, int64(0))
	})
}

func TestMessagesOfManyMegabytes(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		topic := topicOf(t, "large", 1, "max.message.bytes=12000000")
		config.Producer.MaxMessageBytes = 12_000_000
		config.Consumer.Fetch.Default = 1024
		messages := []*sarama.ProducerMessage{}
		for _, size := range []int{1, 900_000, 10, 8_000_000, 3} {
			messages = append(messages, &sarama.ProducerMessage{Topic: topic, Value: sarama.ByteEncoder(bytes.Repeat([]byte{byte(size)}, size))})
		}
		send(t, config, messages...)
		for n, message := range read(t, config, topic, 0, 0, len(messages)) {
			if !bytes.Equal(message.Value, messages[n].Value.(sarama.ByteEncoder)) {
				t.Fatalf("message %d: %d bytes", n, len(message.Value))
			}
		}
	})
}

func TestTimestampsOfProducers(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		topic := topicOf(t, "create-time", 1)
		given := []int64{1_000, 1_600_000_000_123, 1_500_000_000_456}
		for _, ms := range given {
			send(t, config, &sarama.ProducerMessage{Topic: topic, Timestamp: time.UnixMilli(ms)})
		}
		for n, message := range read(t, config, topic, 0, 0, 3) {
			equal(t, "timestamp", message.Timestamp.UnixMilli(), given[n])
		}
		manual := *config
		manual.Producer.Partitioner = sarama.NewManualPartitioner
		err := syncProducer(t, &manual).SendMessages([]*sarama.ProducerMessage{{Topic: topic, Timestamp: time.Now().Add(48 * time.Hour)}})
		if !errors.Is(err, sarama.ErrInvalidTimestamp) {
			var failures sarama.ProducerErrors
			if !errors.As(err, &failures) || !errors.Is(failures[0].Err, sarama.ErrInvalidTimestamp) {
				t.Fatalf("the day after tomorrow: %v", err)
			}
		}
	})
}

func TestTimestampsOfTheBroker(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		topic := topicOf(t, "append-time", 1, "message.timestamp.type=LogAppendTime")
		begun := time.Now().Add(-time.Second)
		message := &sarama.ProducerMessage{Topic: topic, Timestamp: time.UnixMilli(1_000)}
		send(t, config, message)
		seen := read(t, config, topic, 0, 0, 1)[0]
		if seen.Timestamp.Before(begun) || seen.Timestamp.After(time.Now().Add(time.Second)) {
			t.Fatalf("read with %s", seen.Timestamp)
		}
		equal(t, "what the producer was told", message.Timestamp.UnixMilli(), seen.Timestamp.UnixMilli())
	})
}

func TestProduceToWhatIsNotThere(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		config.Metadata.AllowAutoTopicCreation = false
		config.Metadata.Retry.Max = 1
		producer := syncProducer(t, config)
		for topic, wanted := range map[string]error{unique("absent"): sarama.ErrUnknownTopicOrPartition, "in/valid": sarama.ErrInvalidTopic} {
			if _, _, err := producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("x")}); !errors.Is(err, wanted) {
				t.Fatalf("%s: %v", topic, err)
			}
		}
	})
}

func TestProduceCreatesTheTopic(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		topic := unique("made-by-asking")
		_, offset, err := syncProducer(t, config).SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("x")})
		must(t, err)
		equal(t, "offset", offset, int64(0))
	})
}

func TestProducerGoesOnWhenItsTopicIsDeletedAndMadeAgain(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		topic := topicOf(t, "again", 3)
		config.Producer.Partitioner = sarama.NewRoundRobinPartitioner
		config.Metadata.AllowAutoTopicCreation = false
		config.Producer.Retry.Max = 50
		producer := syncProducer(t, config)
		must(t, producer.SendMessages(numbered(topic, "before", 9, 3)))
		admin := adminOf(t, newest())
		must(t, admin.DeleteTopic(topic))
		eventually(t, "the topic is gone", func() bool {
			return admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, false) == nil
		})
		// Kafka takes the old topic away some time after it has answered.
		eventually(t, "the new topic begins with what is new", func() bool {
			if partition, _, err := producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("after")}); err != nil || partition != 0 {
				return false
			}
			stream := consume(t, config, topic, 0, sarama.OffsetOldest)
			defer stream.Close()
			select {
			case message := <-stream.Messages():
				return message != nil && string(message.Value) == "after" && message.Offset == 0
			case <-time.After(time.Second):
				return false
			}
		})
	})
}
