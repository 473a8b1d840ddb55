package franz_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestTransactionsCommitAndAbort(t *testing.T) {
	eachVersion(t, func(t *testing.T, version kgo.Opt) {
		topic, ctx := topicOf(t, "transactions", 2), patient(t)
		client := clientOf(t, version, kgo.TransactionalID(unique("transaction")), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		for _, each := range []struct {
			prefix string
			end    kgo.TransactionEndTry
		}{{"a", kgo.TryCommit}, {"b", kgo.TryAbort}, {"c", kgo.TryCommit}} {
			must(t, client.BeginTransaction())
			must(t, client.ProduceSync(ctx, numbered(topic, each.prefix, 4, 2)...).FirstErr())
			must(t, client.EndTransaction(ctx, each.end))
		}
		for partition := int32(0); partition < 2; partition++ {
			committed := clientOf(t, version, from(topic, partition, kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
			values := valuesOf(poll(t, committed, 4))
			equal(t, "committed records", len(values), 4)
			for n, value := range values {
				equal(t, "the transaction of a record", value[:1], []string{"a", "a", "c", "c"}[n])
			}
			// Two records and a marker, three times.
			equal(t, "the end", endOf(t, topic, partition), int64(9))
		}
	})
}

func TestTheDoubleOfATransactionalProducerFencesIt(t *testing.T) {
	topic, ctx, id := topicOf(t, "fenced", 1), patient(t), unique("fenced")
	old := clientOf(t, kgo.TransactionalID(id))
	must(t, old.BeginTransaction())
	must(t, old.ProduceSync(ctx, numbered(topic, "old", 1, 1)...).FirstErr())
	young := clientOf(t, kgo.TransactionalID(id))
	must(t, young.BeginTransaction())
	must(t, young.ProduceSync(ctx, numbered(topic, "young", 1, 1)...).FirstErr())
	must(t, young.EndTransaction(ctx, kgo.TryCommit))
	if err := old.EndTransaction(ctx, kgo.TryCommit); err == nil {
		t.Fatal("a fenced producer committed")
	}
	committed := clientOf(t, from(topic, 0, kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	equal(t, "committed", valuesOf(poll(t, committed, 1))[0][:5], "young")
}
