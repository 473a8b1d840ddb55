package main

import "time"

// openLoop tells when records are due, whatever became of those before them.
type openLoop struct {
	start  time.Time
	rate   float64
	burst  int64
	total  int64
	smooth bool
}

// smoothTick is how often a smooth load looks at the clock.
const smoothTick = time.Millisecond

// due is the moment at which record n is to be sent.
func (l openLoop) due(n int64) time.Time {
	if !l.smooth {
		n -= n % l.burst
	}
	return l.start.Add(time.Duration(float64(n) / l.rate * float64(time.Second)))
}

// run calls send with every range of records that have become due, and how late the first of them is, until all were sent or send
// gives false.
func (l openLoop) run(send func(first, end int64, late time.Duration) bool) {
	for first := int64(0); first < l.total; {
		time.Sleep(time.Until(l.due(first)))
		end := first + l.burst
		if l.smooth {
			end = int64(time.Since(l.start).Seconds()*l.rate) + 1
		}
		end = min(end, l.total)
		if !send(first, end, time.Since(l.due(first))) {
			return
		}
		first = end
		if l.smooth {
			time.Sleep(smoothTick)
		}
	}
}
