package main

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// blast sends batches that were encoded once, without idempotence: next to nothing is spent on the client's side.
func blast(o options) (map[string]any, error) {
	perBatch := max(1, (o.batchBytes-61)/(o.size+8))
	batches := make([][]byte, 8)
	for i := range batches {
		batches[i] = encodeBatch(values(o.size, perBatch))
	}
	start := time.Now()
	warm := start.Add(time.Duration(o.warmup * float64(time.Second)))
	end := start.Add(time.Duration(o.seconds * float64(time.Second)))
	var acked, counted atomic.Int64
	var failure atomic.Pointer[error]
	var senders sync.WaitGroup
	for c := 0; c < o.connections; c++ {
		client, err := newClient(o)
		if err != nil {
			return nil, err
		}
		defer client.Close()
		request := kmsg.NewPtrMetadataRequest()
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(o.topic)
		request.Topics = append(request.Topics, topic)
		metadata, err := request.RequestWith(context.Background(), client)
		if err != nil {
			return nil, err
		}
		id := metadata.Topics[0].TopicID
		for lane := 0; lane < o.inflight; lane++ {
			senders.Add(1)
			go func(n int) {
				defer senders.Done()
				for i := n; failure.Load() == nil && time.Now().Before(end); i++ {
					err := sendBatch(client, o, id, int32((i/o.inflight+n)%o.partitions), batches[i%len(batches)])
					if err != nil {
						failure.CompareAndSwap(nil, &err)
						return
					}
					acked.Add(int64(perBatch))
					if now := time.Now(); now.After(warm) && now.Before(end) {
						counted.Add(int64(perBatch))
					}
				}
			}(lane)
		}
	}
	senders.Wait()
	if err := failure.Load(); err != nil {
		return nil, *err
	}
	return rates(o, acked.Load(), counted.Load(), o.seconds-o.warmup), nil
}

func sendBatch(client *kgo.Client, o options, id [16]byte, partition int32, batch []byte) error {
	request := kmsg.NewPtrProduceRequest()
	request.Acks = int16(o.acks)
	request.TimeoutMillis = 30_000
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = o.topic
	topic.TopicID = id
	part := kmsg.NewProduceRequestTopicPartition()
	part.Partition = partition
	part.Records = batch
	topic.Partitions = append(topic.Partitions, part)
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(context.Background(), client)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(response.Topics[0].Partitions[0].ErrorCode)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeBatch writes a record batch of magic 2 (Kafka protocol guide, "Record Batch") without keys and headers.
func encodeBatch(values [][]byte) []byte {
	now := time.Now().UnixMilli()
	b := make([]byte, 61, 61+len(values)*(len(values[0])+16))
	for i, value := range values {
		var r []byte
		r = append(r, 0)
		r = binary.AppendVarint(r, 0)
		r = binary.AppendVarint(r, int64(i))
		r = binary.AppendVarint(r, -1)
		r = binary.AppendVarint(r, int64(len(value)))
		r = append(r, value...)
		r = binary.AppendVarint(r, 0)
		b = binary.AppendVarint(b, int64(len(r)))
		b = append(b, r...)
	}
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	b[16] = 2
	binary.BigEndian.PutUint32(b[23:], uint32(len(values)-1))
	binary.BigEndian.PutUint64(b[27:], uint64(now))
	binary.BigEndian.PutUint64(b[35:], uint64(now))
	for i := 43; i < 57; i++ {
		b[i] = 0xff // no producer id, epoch, sequence
	}
	binary.BigEndian.PutUint32(b[57:], uint32(len(values)))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
	return b
}
