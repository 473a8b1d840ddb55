package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

func newClient(o options, extra ...kgo.Opt) (*kgo.Client, error) {
	opts := []kgo.Opt{kgo.SeedBrokers(strings.Split(o.brokers, ",")...)}
	if o.version != "" {
		versions := kversion.FromString("v" + strings.TrimPrefix(o.version, "v"))
		if versions == nil {
			return nil, fmt.Errorf("-kafka-version %s: no such version", o.version)
		}
		opts = append(opts, kgo.MaxVersions(versions))
	}
	return kgo.NewClient(append(opts, extra...)...)
}

// producerOptions: idempotent, with the five requests in flight that idempotence allows, unless acks is 1.
func producerOptions(o options, linger time.Duration) []kgo.Opt {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(), "snappy": kgo.SnappyCompression(),
		"gzip": kgo.GzipCompression(),
	}
	opts := []kgo.Opt{
		kgo.DefaultProduceTopic(o.topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codecs[o.codec]),
		kgo.ProducerBatchMaxBytes(int32(o.batchBytes)),
		kgo.MaxBufferedRecords(1_000_000),
		kgo.MaxBufferedBytes(64 << 20),
		kgo.ProducerLinger(linger),
	}
	if o.acks == 1 {
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(o.inflight))
	}
	return opts
}

// topicsAtOnce is how many topics one CreateTopics request names.
const topicsAtOnce = 500

func create(o options) (map[string]any, error) {
	client, err := newClient(o)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	started := time.Now()
	for first := 0; first < o.topics; first += topicsAtOnce {
		request := kmsg.NewPtrCreateTopicsRequest()
		request.TimeoutMillis = 60_000
		for n := first; n < min(first+topicsAtOnce, o.topics); n++ {
			topic := kmsg.NewCreateTopicsRequestTopic()
			topic.Topic = topicName(o, n)
			topic.NumPartitions = int32(o.partitions)
			topic.ReplicationFactor = 1
			request.Topics = append(request.Topics, topic)
		}
		response, err := request.RequestWith(context.Background(), client)
		if err != nil {
			return nil, err
		}
		for _, topic := range response.Topics {
			if err := kerr.ErrorForCode(topic.ErrorCode); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
				return nil, fmt.Errorf("create %s: %w", topic.Topic, err)
			}
		}
	}
	return map[string]any{"seconds": time.Since(started).Seconds()}, nil
}

func topicName(o options, n int) string {
	if o.topics <= 1 {
		return o.topic
	}
	return fmt.Sprintf("%s-%d", o.topic, n)
}

// endOffsets asks for the high watermark of every partition.
func endOffsets(client *kgo.Client, o options) ([]int64, error) {
	request := kmsg.NewPtrListOffsetsRequest()
	request.ReplicaID = -1
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = o.topic
	for p := 0; p < o.partitions; p++ {
		partition := kmsg.NewListOffsetsRequestTopicPartition()
		partition.Partition = int32(p)
		partition.Timestamp = -1
		topic.Partitions = append(topic.Partitions, partition)
	}
	request.Topics = append(request.Topics, topic)
	ends := make([]int64, o.partitions)
	for _, shard := range client.RequestSharded(context.Background(), request) {
		if shard.Err != nil {
			return nil, shard.Err
		}
		for _, t := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return nil, err
				}
				ends[p.Partition] = p.Offset
			}
		}
	}
	return ends, nil
}

// values gives values of which the first half is random and the rest is not, as much data is.
func values(size, count int) [][]byte {
	random := rand.New(rand.NewSource(1))
	all := make([][]byte, count)
	for i := range all {
		value := make([]byte, size)
		random.Read(value[:size/2])
		for j := size / 2; j < size; j++ {
			value[j] = 'x'
		}
		all[i] = value
	}
	return all
}

func fromAllPartitions(o options, at func(partition int) kgo.Offset) kgo.Opt {
	partitions := make(map[int32]kgo.Offset)
	for p := 0; p < o.partitions; p++ {
		partitions[int32(p)] = at(p)
	}
	return kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{o.topic: partitions})
}

func fetchError(fetches kgo.Fetches) error {
	var first error
	fetches.EachError(func(topic string, partition int32, err error) {
		if first == nil {
			first = fmt.Errorf("fetch of %s-%d: %w", topic, partition, err)
		}
	})
	return first
}
