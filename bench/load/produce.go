package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// latency produces one record after the other and waits for each, on every connection.
func latency(o options) (map[string]any, error) {
	pool := values(o.size, 1024)
	start := time.Now()
	warm := start.Add(time.Duration(o.warmup * float64(time.Second)))
	end := start.Add(time.Duration(o.seconds * float64(time.Second)))
	results := make([][]float64, o.connections)
	errors := make([]error, o.connections)
	var producers sync.WaitGroup
	for c := range results {
		client, err := newClient(o, producerOptions(o, 0)...)
		if err != nil {
			return nil, err
		}
		producers.Add(1)
		go func() {
			defer producers.Done()
			defer client.Close()
			for i := c; ; i++ {
				sent := time.Now()
				if sent.After(end) {
					return
				}
				record := &kgo.Record{Value: pool[i%len(pool)], Partition: int32(i % o.partitions)}
				if err := client.ProduceSync(context.Background(), record).FirstErr(); err != nil {
					errors[c] = err
					return
				}
				if sent.After(warm) {
					results[c] = append(results[c], float64(time.Since(sent).Nanoseconds())/1e6)
				}
			}
		}()
	}
	producers.Wait()
	var ms []float64
	for c, one := range results {
		if errors[c] != nil {
			return nil, errors[c]
		}
		ms = append(ms, one...)
	}
	return map[string]any{"latencyMs": quantiles(ms), "recordsPerSecond": float64(len(ms)) / (o.seconds - o.warmup)}, nil
}

// produce keeps the client's buffer full, so that the broker is what limits it.
func produce(o options) (map[string]any, error) {
	var acked, ackedAfterWarmup, sent atomic.Int64
	var failure atomic.Pointer[error]
	start := time.Now()
	warm := start.Add(time.Duration(o.warmup * float64(time.Second)))
	end := start.Add(time.Duration(o.seconds * float64(time.Second)))
	warmNanos, endNanos := warm.UnixNano(), end.UnixNano()
	pool := values(o.size, 4096)
	var producers sync.WaitGroup
	for c := 0; c < o.connections; c++ {
		client, err := newClient(o, producerOptions(o, 0)...)
		if err != nil {
			return nil, err
		}
		producers.Add(1)
		go func(offset int) {
			defer producers.Done()
			defer client.Close()
			// The clock is read once per batch of acknowledgements at most: records of a batch are told one after the other.
			promise := func(_ *kgo.Record, err error) {
				if err != nil {
					failure.CompareAndSwap(nil, &err)
					return
				}
				if n := acked.Add(1); n&255 == 0 {
					now := time.Now().UnixNano()
					if now > warmNanos && now <= endNanos {
						ackedAfterWarmup.Add(256)
					}
				}
			}
			for i := 0; failure.Load() == nil; {
				if time.Now().After(end) || o.records > 0 && sent.Add(512) > o.records {
					break
				}
				chunk := make([]kgo.Record, 512)
				for j := range chunk {
					chunk[j].Value = pool[(i+j)%len(pool)]
					chunk[j].Partition = int32(((i / 512) + offset) % o.partitions)
					client.Produce(context.Background(), &chunk[j], promise)
				}
				i += len(chunk)
			}
			_ = client.Flush(context.Background())
		}(c)
	}
	producers.Wait()
	if err := failure.Load(); err != nil {
		return nil, *err
	}
	return rates(o, acked.Load(), ackedAfterWarmup.Load(), o.seconds-o.warmup), nil
}

func rates(o options, records, counted int64, seconds float64) map[string]any {
	return map[string]any{
		"records": records, "valueBytes": records * int64(o.size), "recordsPerSecond": float64(counted) / seconds,
		"megabytesPerSecond": float64(counted) * float64(o.size) / seconds / 1e6,
	}
}
