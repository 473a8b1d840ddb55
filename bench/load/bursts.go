package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// bursts is an open loop: burst k of -burst records is due at start + k × burst / rate, whatever became of those before it; with -smooth
// each record is due on its own, 1 / rate after the one before. A record carries the moment it was due, and its latency runs from that
// moment until the consumer, which reads in parallel, has it. A broker or a client that cannot keep up therefore shows as growing latency,
// and not as a lower rate.
func bursts(o options) (map[string]any, error) {
	if o.size < 8 {
		return nil, fmt.Errorf("values carry a time and have 8 bytes or more")
	}
	producer, err := newClient(o, producerOptions(o, time.Duration(o.lingerMs)*time.Millisecond)...)
	if err != nil {
		return nil, err
	}
	defer producer.Close()
	ends, err := endOffsets(producer, o)
	if err != nil {
		return nil, err
	}
	fromEnd := func(p int) kgo.Offset { return kgo.NewOffset().At(ends[p]) }
	consumer, err := newClient(o, fromAllPartitions(o, fromEnd), kgo.FetchMaxWait(500*time.Millisecond), kgo.FetchMinBytes(1))
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	// Both know the topic, and the consumer fetches from every partition, before the clock runs.
	if err := settle(consumer, producer, o); err != nil {
		return nil, err
	}

	count := max(1, int(o.seconds*o.rate/float64(o.burst)))
	total := int64(count) * int64(o.burst)
	start := time.Now().Add(50 * time.Millisecond)
	var failure atomic.Pointer[error]
	promise := func(_ *kgo.Record, err error) {
		if err != nil {
			failure.CompareAndSwap(nil, &err)
		}
	}
	var behind atomic.Int64
	pace := openLoop{start: start, rate: o.rate, burst: int64(o.burst), total: total, smooth: o.smooth}
	go func() {
		pool := values(o.size, 1)
		pace.run(func(first, end int64, late time.Duration) bool {
			if nanos := late.Nanoseconds(); nanos > behind.Load() {
				behind.Store(nanos)
			}
			records := make([]kgo.Record, end-first)
			var value []byte
			for i := range records {
				n := first + int64(i)
				if value == nil || o.smooth {
					value = append([]byte(nil), pool[0]...)
					binary.BigEndian.PutUint64(value, uint64(pace.due(n).UnixNano()))
				}
				records[i].Value = value
				records[i].Partition = int32(n % int64(o.partitions))
				producer.Produce(context.Background(), &records[i], promise)
			}
			return failure.Load() == nil
		})
	}()

	windows := make(map[int][]float64)
	warm := start.Add(time.Duration(o.warmup * float64(time.Second)))
	var received int64
	giveUp := time.Duration(o.seconds*float64(time.Second)) + 30*time.Second
	ctx, cancel := context.WithDeadline(context.Background(), start.Add(giveUp))
	defer cancel()
	for received < total {
		fetches := consumer.PollFetches(ctx)
		if err := failure.Load(); err != nil {
			return nil, *err
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%d of %d records arrived", received, total)
		}
		if err := fetchError(fetches); err != nil {
			return nil, err
		}
		now := time.Now()
		fetches.EachRecord(func(r *kgo.Record) {
			received++
			due := int64(binary.BigEndian.Uint64(r.Value))
			if due < warm.UnixNano() {
				return
			}
			window := int(float64(due-start.UnixNano()) / 1e9 / o.window)
			windows[window] = append(windows[window], float64(now.UnixNano()-due)/1e6)
		})
	}
	took := time.Since(start)
	return burstReport(o, windows, total, took, behind.Load()), nil
}

func burstReport(o options, windows map[int][]float64, total int64, took time.Duration, behindNanos int64) map[string]any {
	var all []float64
	var series []map[string]any
	for w := 0; w <= int(o.seconds/o.window); w++ {
		ms := windows[w]
		if len(ms) == 0 {
			continue
		}
		all = append(all, ms...)
		entry := quantiles(ms)
		entry["fromSeconds"] = float64(w) * o.window
		series = append(series, entry)
	}
	return map[string]any{
		"records": total, "valueBytes": total * int64(o.size), "seconds": took.Seconds(), "latencyMs": quantiles(all), "windows": series,
		"generatorLateMsMax": float64(behindNanos) / 1e6,
	}
}

// settle sends a record to every partition and waits until the consumer has all of them.
func settle(consumer, producer *kgo.Client, o options) error {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	greetings := make([]*kgo.Record, o.partitions)
	for p := range greetings {
		greetings[p] = &kgo.Record{Value: make([]byte, o.size), Partition: int32(p)}
	}
	if err := producer.ProduceSync(ctx, greetings...).FirstErr(); err != nil {
		return err
	}
	for got := 0; got < o.partitions; {
		got += consumer.PollFetches(ctx).NumRecords()
		if ctx.Err() != nil {
			return fmt.Errorf("the consumer got %d of %d greetings", got, o.partitions)
		}
	}
	return nil
}
