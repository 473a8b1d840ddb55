package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// bursts is an open loop: burst k of -burst records is due at start + k × burst / rate, whatever became of those before it. A record
// carries the moment it was due, and its latency runs from that moment until the consumer, which reads in parallel, has it.
// A broker or a client that cannot keep up therefore shows as growing latency, and not as a lower rate.
func bursts(o options) (map[string]any, error) {
	if o.size < 8 {
		return nil, fmt.Errorf("values carry a time and have 8 bytes or more")
	}
	consumer, err := newClient(o, fromAllPartitions(o, kgo.NewOffset().AtEnd()), kgo.FetchMaxWait(500*time.Millisecond), kgo.FetchMinBytes(1))
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	producer, err := newClient(o, producerOptions(o, time.Duration(o.lingerMs)*time.Millisecond)...)
	if err != nil {
		return nil, err
	}
	defer producer.Close()
	// Both know the topic, and the consumer stands at its end, before the clock runs.
	if err := settle(consumer, producer, o); err != nil {
		return nil, err
	}

	interval := time.Duration(float64(o.burst) / o.rate * float64(time.Second))
	count := max(1, int(o.seconds*o.rate/float64(o.burst)))
	total := int64(count) * int64(o.burst)
	start := time.Now().Add(50 * time.Millisecond)
	samples := newSamples(o)
	var failure atomic.Pointer[error]
	var behind atomic.Int64
	go func() {
		pool := values(o.size, 1)
		for k := 0; k < count && failure.Load() == nil; k++ {
			due := start.Add(time.Duration(k) * interval)
			time.Sleep(time.Until(due))
			late := time.Since(due).Nanoseconds()
			for old := behind.Load(); late > old && !behind.CompareAndSwap(old, late); old = behind.Load() {
			}
			value := append([]byte(nil), pool[0]...)
			binary.BigEndian.PutUint64(value, uint64(due.UnixNano()))
			records := make([]kgo.Record, o.burst)
			for i := range records {
				records[i].Value = value
				records[i].Partition = int32(i % o.partitions)
				last := i >= len(records)-o.partitions
				producer.Produce(context.Background(), &records[i], func(r *kgo.Record, err error) {
					if err != nil {
						failure.CompareAndSwap(nil, &err)
					} else if last {
						samples.add(r.Partition, r.Offset, due)
					}
				})
			}
		}
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
	if err := samples.close(); err != nil {
		return nil, err
	}
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

// settle waits until the consumer has fetched once, by sending it a record.
func settle(consumer, producer *kgo.Client, o options) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	got := 0
	for try := 0; got == 0; try++ {
		for p := 0; p < o.partitions; p++ {
			record := &kgo.Record{Value: make([]byte, o.size), Partition: int32(p)}
			if err := producer.ProduceSync(ctx, record).FirstErr(); err != nil {
				return err
			}
		}
		wait, stop := context.WithTimeout(ctx, 300*time.Millisecond)
		fetches := consumer.PollFetches(wait)
		stop()
		got += fetches.NumRecords()
		if ctx.Err() != nil {
			return fmt.Errorf("the consumer got nothing")
		}
	}
	// What is left of the greetings must not be taken for records of the load.
	for {
		wait, stop := context.WithTimeout(ctx, 700*time.Millisecond)
		left := consumer.PollFetches(wait).NumRecords()
		stop()
		if left == 0 {
			return nil
		}
	}
}

// sampleFile holds lines "partition offset due-in-microseconds", for the measurement of the table's freshness.
type sampleFile struct {
	lock   sync.Mutex
	file   *os.File
	writer *bufio.Writer
}

func newSamples(o options) *sampleFile {
	if o.samples == "" {
		return &sampleFile{}
	}
	file, err := os.Create(o.samples)
	if err != nil {
		fail(err)
	}
	return &sampleFile{file: file, writer: bufio.NewWriter(file)}
}

func (s *sampleFile) add(partition int32, offset int64, due time.Time) {
	if s.file == nil {
		return
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	fmt.Fprintf(s.writer, "%d %d %d\n", partition, offset, due.UnixMicro())
}

func (s *sampleFile) close() error {
	if s.file == nil {
		return nil
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	if err := s.writer.Flush(); err != nil {
		return err
	}
	return s.file.Close()
}
