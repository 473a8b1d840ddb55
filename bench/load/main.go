// Command load is the client of the bench: it produces and consumes on franz-go, costs less CPU than a broker, and prints one JSON object.
//
//	load <mode> -brokers HOST:PORT -topic NAME [flags]
//
// Modes: create (a topic), latency (one record in flight), produce (as fast as it goes), blast (the same from batches that were encoded
// once), consume (all there is), scan (the same, counting batches by their headers), bursts (open loop, end to end; -smooth spreads the
// records evenly), spread (open loop over -topics topics and -connections producers, until acknowledged), transact (one transaction
// after the other).
// Every mode ends by itself: after -seconds, or after -timeout at the latest.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"syscall"
	"time"
)

type options struct {
	brokers     string
	topic       string
	partitions  int
	seconds     float64
	warmup      float64
	timeout     float64
	size        int
	rate        float64
	burst       int
	records     int64
	lingerMs    int
	acks        int
	codec       string
	batchBytes  int
	connections int
	inflight    int
	window      float64
	smooth      bool
	topics      int
	version     string
}

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("load <mode> [flags]; see main.go"))
	}
	var o options
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.StringVar(&o.brokers, "brokers", "127.0.0.1:9092", "host:port")
	flags.StringVar(&o.topic, "topic", "bench", "topic")
	flags.IntVar(&o.partitions, "partitions", 1, "partitions of the topic")
	flags.Float64Var(&o.seconds, "seconds", 5, "how long to produce, warm-up included")
	flags.Float64Var(&o.warmup, "warmup", 1, "seconds at the start that do not count")
	flags.Float64Var(&o.timeout, "timeout", 120, "seconds after which it gives up")
	flags.IntVar(&o.size, "size", 100, "bytes of a value, half of them random")
	flags.Float64Var(&o.rate, "rate", 10000, "records per second, open loop")
	flags.IntVar(&o.burst, "burst", 10000, "records that are due at the same moment")
	flags.Int64Var(&o.records, "records", 0, "records to consume, or to produce at most; 0: what there is, or what the time allows")
	flags.IntVar(&o.lingerMs, "linger", 5, "linger of the producer, ms")
	flags.IntVar(&o.acks, "acks", -1, "-1 or 1")
	flags.StringVar(&o.codec, "codec", "none", "none, lz4, zstd, snappy or gzip")
	flags.IntVar(&o.batchBytes, "batch", 1000000, "largest batch, bytes")
	flags.IntVar(&o.connections, "connections", 1, "producers, each with a connection of its own")
	flags.IntVar(&o.inflight, "inflight", 5, "produce requests in flight per connection, where the client lets one choose")
	flags.Float64Var(&o.window, "window", 10, "seconds of a window of the bursts' report")
	flags.BoolVar(&o.smooth, "smooth", false, "spread the records evenly instead of in bursts")
	flags.IntVar(&o.topics, "topics", 1, "topics, NAME-0 and so on; with 1 it is NAME")
	flags.StringVar(&o.version, "kafka-version", "", "newest Kafka whose requests are spoken, such as 3.7")
	if err := flags.Parse(os.Args[2:]); err != nil {
		fail(err)
	}
	// Whatever hangs, the process does not outlive its bound.
	time.AfterFunc(time.Duration(o.timeout*float64(time.Second)), func() { fail(fmt.Errorf("not done within %v seconds", o.timeout)) })

	modes := map[string]func(options) (map[string]any, error){
		"create": create, "latency": latency, "produce": produce, "blast": blast, "consume": consume, "scan": scan, "bursts": bursts,
		"spread": spread, "transact": transact,
	}
	mode, ok := modes[os.Args[1]]
	if !ok {
		fail(fmt.Errorf("there is no mode %s", os.Args[1]))
	}
	before := cpuSeconds()
	result, err := mode(o)
	if err != nil {
		fail(err)
	}
	result["loadCpuSeconds"] = cpuSeconds() - before
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		fail(err)
	}
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(usage.Utime) + seconds(usage.Stime)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
