// Package support is what the tests of both Go clients share: where the broker is, how to restart it, and how to wait.
package support

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"testing"
	"time"
)

// Broker gives the host:port in BAYOU_BROKER; the test is skipped where it is not set, so that `go test ./...` alone needs nothing.
func Broker(t testing.TB) string {
	t.Helper()
	address := os.Getenv("BAYOU_BROKER")
	if address == "" {
		t.Skip("BAYOU_BROKER is not set: node test/clients/go/run.ts starts a broker and sets it")
	}
	return address
}

// Ours says whether the broker was started by run.ts; a Kafka that is held against the same tests was not.
func Ours() bool { return os.Getenv("BAYOU_CONTROL") != "" }

// MayDie skips a test that interrupts the broker where nobody is there who would start it again.
func MayDie(t testing.TB) {
	t.Helper()
	if !Ours() {
		t.Skip("BAYOU_CONTROL is not set: nobody would restart this broker")
	}
}

// Crash kills the broker (SIGKILL) and returns when a new process serves the same store on the same port.
func Crash(t testing.TB) { control(t, "crash") }

// Restart is the same with an orderly stop.
func Restart(t testing.TB) { control(t, "restart") }

func control(t testing.TB, what string) {
	t.Helper()
	answer, err := http.Post(os.Getenv("BAYOU_CONTROL")+"/"+what, "text/plain", nil)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", what, answer.Status)
	}
}

// Unique gives a name that no other test has.
func Unique(what string) string { return fmt.Sprintf("%s-%08x", what, rand.Uint32()) }

// Patience is how long anything may take that should happen at once; generous, since only a test that fails waits so long.
const Patience = 60 * time.Second

// Eventually waits until check is true.
func Eventually(t testing.TB, what string, check func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !check(); time.Sleep(25 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, Patience)
		}
	}
}

// Must ends the test where there is an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Value gives a function that unwraps a result, and ends the test where there is an error: support.Value(f())(t).
func Value[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		Must(t, err)
		return value
	}
}

// Equal compares through the printed form, which tells nil from empty for byte slices when they are given as *string or %q.
func Equal(t testing.TB, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", want); g != w {
		t.Fatalf("%s: %s, and not %s", what, g, w)
	}
}
