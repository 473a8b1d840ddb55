package main

import "slices"

// quantiles of durations in milliseconds. The slice is sorted in place.
func quantiles(ms []float64) map[string]any {
	if len(ms) == 0 {
		return map[string]any{"count": 0}
	}
	slices.Sort(ms)
	at := func(q float64) float64 { return ms[min(len(ms)-1, int(q*float64(len(ms))))] }
	return map[string]any{
		"count": len(ms), "min": ms[0], "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999), "max": ms[len(ms)-1],
	}
}
