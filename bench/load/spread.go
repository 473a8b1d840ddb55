package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// spread is an open loop of -rate records a second, one after the other to each topic, partition and producer. The latency runs from the
// moment a record was due until it was acknowledged.
func spread(o options) (map[string]any, error) {
	clients := make([]*kgo.Client, o.connections)
	var connected sync.WaitGroup
	errors := make([]error, len(clients))
	for c := range clients {
		client, err := newClient(o, append(producerOptions(o, time.Duration(o.lingerMs)*time.Millisecond), kgo.MaxBufferedRecords(10_000))...)
		if err != nil {
			return nil, err
		}
		defer client.Close()
		clients[c] = client
		// The connection and what a client has to know are there before the clock runs.
		connected.Add(1)
		go func() {
			defer connected.Done()
			record := &kgo.Record{Topic: topicName(o, c%o.topics), Value: make([]byte, o.size)}
			errors[c] = client.ProduceSync(context.Background(), record).FirstErr()
		}()
	}
	connected.Wait()
	for _, err := range errors {
		if err != nil {
			return nil, err
		}
	}
	if err := greetTopics(clients, o); err != nil {
		return nil, err
	}

	pool := values(o.size, 1024)
	total := max(1, int64(o.seconds*o.rate))
	pace := openLoop{start: time.Now().Add(50 * time.Millisecond), rate: o.rate, burst: 1, total: total, smooth: true}
	warm := int64(o.warmup * o.rate)
	ms := make([]float64, total)
	var failure atomic.Pointer[error]
	var behind time.Duration
	var acked sync.WaitGroup
	acked.Add(int(total))
	var sent int64
	pace.run(func(first, end int64, late time.Duration) bool {
		behind = max(behind, late)
		for n := first; n < end; n++ {
			due := pace.due(n)
			slot := n / int64(o.topics)
			record := &kgo.Record{
				Topic: topicName(o, int(n%int64(o.topics))), Partition: int32(slot % int64(o.partitions)), Value: pool[n%int64(len(pool))],
			}
			clients[n%int64(len(clients))].Produce(context.Background(), record, func(_ *kgo.Record, err error) {
				if err != nil {
					failure.CompareAndSwap(nil, &err)
				}
				ms[n] = float64(time.Since(due).Nanoseconds()) / 1e6
				acked.Done()
			})
		}
		sent = end
		return failure.Load() == nil
	})
	if err := failure.Load(); err != nil {
		return nil, *err
	}
	acked.Wait()
	if err := failure.Load(); err != nil {
		return nil, *err
	}
	took := time.Since(pace.start)
	return map[string]any{
		"records": sent, "valueBytes": sent * int64(o.size), "seconds": took.Seconds(), "recordsPerSecond": float64(sent) / took.Seconds(),
		"latencyMs": quantiles(ms[min(warm, total-1):]), "generatorLateMsMax": float64(behind.Nanoseconds()) / 1e6,
	}, nil
}

// greetTopics sends a record to every topic, so that no lookup of metadata falls into the time that is measured.
func greetTopics(clients []*kgo.Client, o options) error {
	if len(clients) > 1 {
		return nil
	}
	greetings := make([]*kgo.Record, o.topics)
	for n := range greetings {
		greetings[n] = &kgo.Record{Topic: topicName(o, n), Value: make([]byte, o.size)}
	}
	return clients[0].ProduceSync(context.Background(), greetings...).FirstErr()
}
