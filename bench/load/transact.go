package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// transact commits one transaction after the other, each with -burst records over all partitions. The latency is that of a whole
// transaction, from its first record until its end is acknowledged; of that, commitMs is the end alone.
func transact(o options) (map[string]any, error) {
	pool := values(o.size, 1024)
	client, err := newClient(o, append(producerOptions(o, 0), kgo.TransactionalID(fmt.Sprintf("bench-%s", o.topic)))...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx := context.Background()
	// The first one waits for the coordinator, which may have a topic to create.
	if _, err := transaction(ctx, client, pool, o); err != nil {
		return nil, err
	}
	start := time.Now()
	warm := start.Add(time.Duration(o.warmup * float64(time.Second)))
	end := start.Add(time.Duration(o.seconds * float64(time.Second)))
	var whole, commits []float64
	for began := start; began.Before(end); began = time.Now() {
		produced, err := transaction(ctx, client, pool, o)
		if err != nil {
			return nil, err
		}
		if began.After(warm) {
			whole = append(whole, float64(time.Since(began).Nanoseconds())/1e6)
			commits = append(commits, float64(time.Since(produced).Nanoseconds())/1e6)
		}
	}
	return map[string]any{"latencyMs": quantiles(whole), "commitMs": quantiles(commits)}, nil
}

// transaction gives the time at which its end began.
func transaction(ctx context.Context, client *kgo.Client, pool [][]byte, o options) (time.Time, error) {
	if err := client.BeginTransaction(); err != nil {
		return time.Time{}, err
	}
	records := make([]*kgo.Record, o.burst)
	for i := range records {
		records[i] = &kgo.Record{Value: pool[i%len(pool)], Partition: int32(i % o.partitions)}
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return time.Time{}, err
	}
	produced := time.Now()
	return produced, client.EndTransaction(ctx, kgo.TryCommit)
}
