package main

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	fetchBytesMax     = 50 << 20
	partitionBytesMax = 4 << 20
)

// consume reads -records records, or all that was there when it started, with the client's own consumer.
func consume(o options) (map[string]any, error) {
	client, err := newClient(o, fromAllPartitions(o, func(int) kgo.Offset { return kgo.NewOffset().AtStart() }),
		kgo.FetchMaxBytes(fetchBytesMax), kgo.FetchMaxPartitionBytes(partitionBytesMax))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	wanted, err := wantedRecords(client, o)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	var records, bytes int64
	var first time.Duration
	for records < wanted {
		fetches := client.PollFetches(context.Background())
		if err := fetchError(fetches); err != nil {
			return nil, err
		}
		if first == 0 {
			first = time.Since(start)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			records++
			bytes += int64(len(r.Value))
		})
	}
	return consumed(records, bytes, first, time.Since(start)), nil
}

func wantedRecords(client *kgo.Client, o options) (int64, error) {
	if o.records > 0 {
		return o.records, nil
	}
	ends, err := endOffsets(client, o)
	var sum int64
	for _, end := range ends {
		sum += end
	}
	return sum, err
}

func consumed(records, bytes int64, first, took time.Duration) map[string]any {
	return map[string]any{
		"records": records, "seconds": took.Seconds(), "firstMs": float64(first.Microseconds()) / 1000,
		"recordsPerSecond": float64(records) / took.Seconds(), "megabytesPerSecond": float64(bytes) / took.Seconds() / 1e6,
	}
}

// scan reads the same and looks at the headers of batches only: what the broker can give, whatever a client makes of it. Bytes are those
// of the batches.
func scan(o options) (map[string]any, error) {
	client, err := newClient(o)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ends, err := endOffsets(client, o)
	if err != nil {
		return nil, err
	}
	metadataRequest := kmsg.NewPtrMetadataRequest()
	metadataTopic := kmsg.NewMetadataRequestTopic()
	metadataTopic.Topic = kmsg.StringPtr(o.topic)
	metadataRequest.Topics = append(metadataRequest.Topics, metadataTopic)
	metadata, err := metadataRequest.RequestWith(context.Background(), client)
	if err != nil {
		return nil, err
	}
	broker := client.Broker(int(metadata.Topics[0].Partitions[0].Leader))
	next := make([]int64, o.partitions)
	start := time.Now()
	var first time.Duration
	var records, bytes int64
	for {
		request := kmsg.NewPtrFetchRequest()
		request.ReplicaID = -1
		request.MaxWaitMillis = 5000
		request.MinBytes = 1
		request.MaxBytes = fetchBytesMax
		request.SessionEpoch = -1
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic = o.topic
		topic.TopicID = metadata.Topics[0].TopicID
		for p := range next {
			if next[p] >= ends[p] {
				continue
			}
			partition := kmsg.NewFetchRequestTopicPartition()
			partition.Partition = int32(p)
			partition.CurrentLeaderEpoch = -1
			partition.FetchOffset = next[p]
			partition.LogStartOffset = -1
			partition.PartitionMaxBytes = partitionBytesMax
			topic.Partitions = append(topic.Partitions, partition)
		}
		if len(topic.Partitions) == 0 {
			break
		}
		request.Topics = append(request.Topics, topic)
		response, err := broker.RetriableRequest(context.Background(), request)
		if err != nil {
			return nil, err
		}
		for _, t := range response.(*kmsg.FetchResponse).Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return nil, err
				}
				bytes += int64(len(p.RecordBatches))
				records += skim(p.RecordBatches, &next[p.Partition])
			}
		}
		if first == 0 {
			first = time.Since(start)
		}
	}
	return consumed(records, bytes, first, time.Since(start)), nil
}

// skim counts the records of whole batches at or after *next and moves it behind them.
func skim(b []byte, next *int64) int64 {
	var records int64
	for len(b) >= 61 {
		length := int(binary.BigEndian.Uint32(b[8:])) + 12
		if length > len(b) {
			break
		}
		base := int64(binary.BigEndian.Uint64(b))
		last := base + int64(binary.BigEndian.Uint32(b[23:]))
		if last >= *next {
			records += last + 1 - max(base, *next)
			*next = last + 1
		}
		b = b[length:]
	}
	return records
}
