package franz_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"bayou/test/clients/go/support"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// balancers are the ways in which a group gives out its partitions; the two of the server are those of the consumer protocol (KIP-848).
var balancers = map[string][]kgo.Opt{
	"range":              {kgo.Balancers(kgo.RangeBalancer())},
	"roundrobin":         {kgo.Balancers(kgo.RoundRobinBalancer())},
	"sticky":             {kgo.Balancers(kgo.StickyBalancer())},
	"cooperative-sticky": {kgo.Balancers(kgo.CooperativeStickyBalancer())},
	"server-uniform":     {kgo.Balancers(kgo.StickyBalancer()), kgo.ServerSideBalancer()},
	"server-range":       {kgo.Balancers(kgo.RangeBalancer()), kgo.ServerSideBalancer()},
}

func eachBalancer(t *testing.T, test func(*testing.T, []kgo.Opt)) {
	t.Parallel()
	for name, options := range balancers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, options)
		})
	}
}

type place = support.Place

// sink gathers what the members of a group see, and complains about a record that comes twice in one generation.
type sink struct {
	sync.Mutex
	seen   map[string]string
	values map[string]int
	firsts map[place][]string
	twice  []string
}

func newSink() *sink {
	return &sink{seen: map[string]string{}, values: map[string]int{}, firsts: map[place][]string{}}
}

func (s *sink) take(member string, generation int32, record *kgo.Record) {
	s.Lock()
	defer s.Unlock()
	key := fmt.Sprintf("%s[%d]@%d in %d", record.Topic, record.Partition, record.Offset, generation)
	if other, there := s.seen[key]; there {
		s.twice = append(s.twice, fmt.Sprintf("%s by %s and %s", key, other, member))
	}
	s.seen[key] = member
	value := string(record.Value)
	s.values[value]++
	if s.values[value] == 1 {
		at := support.At(record.Topic, record.Partition)
		s.firsts[at] = append(s.firsts[at], value)
	}
}

func (s *sink) distinct() int {
	s.Lock()
	defer s.Unlock()
	return len(s.values)
}

type member struct {
	client *kgo.Client
	cancel context.CancelFunc
	done   chan struct{}
	lock   sync.Mutex
	owned  map[place]bool
	errs   []error
}

// join starts a member of a group. `each`, where there is one, is called before the records of a poll count as read; the member leaves when it says false.
func join(t *testing.T, group, name string, to *sink, each func(*kgo.Client, []*kgo.Record) bool, options []kgo.Opt, more ...kgo.Opt) *member {
	t.Helper()
	m := &member{done: make(chan struct{}), owned: map[place]bool{}}
	own := func(owned bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			m.lock.Lock()
			defer m.lock.Unlock()
			for topic, numbers := range partitions {
				for _, number := range numbers {
					if owned {
						m.owned[support.At(topic, number)] = true
					} else {
						delete(m.owned, support.At(topic, number))
					}
				}
			}
		}
	}
	all := append([]kgo.Opt{
		kgo.ClientID(name), kgo.ConsumerGroup(group), kgo.BlockRebalanceOnPoll(), kgo.HeartbeatInterval(200 * time.Millisecond), kgo.SessionTimeout(10 * time.Second),
		kgo.AutoCommitMarks(), kgo.AutoCommitInterval(100 * time.Millisecond), kgo.MetadataMaxAge(250 * time.Millisecond),
		kgo.OnPartitionsAssigned(own(true)), kgo.OnPartitionsLost(own(false)),
		kgo.OnPartitionsRevoked(func(ctx context.Context, client *kgo.Client, partitions map[string][]int32) {
			if err := client.CommitMarkedOffsets(ctx); err != nil {
				m.complain(err)
			}
			own(false)(ctx, client, partitions)
		}),
	}, options...)
	m.client = clientOf(t, append(all, more...)...)
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			fetches := m.client.PollRecords(ctx, 50)
			for _, err := range errorsOf(fetches) {
				if ctx.Err() == nil {
					m.complain(err)
				}
			}
			records := fetches.Records()
			_, generation := m.client.GroupMetadata()
			if each != nil && len(records) > 0 && !each(m.client, records) {
				cancel()
			}
			if to != nil {
				for _, record := range records {
					to.take(name, generation, record)
				}
			}
			m.client.MarkCommitRecords(records...)
			m.client.AllowRebalance()
		}
		m.client.CloseAllowingRebalance()
	}()
	t.Cleanup(m.leave)
	return m
}

func (m *member) complain(err error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.errs = append(m.errs, err)
}

func (m *member) leave() {
	m.cancel()
	<-m.done
}

func (m *member) owns() []place {
	m.lock.Lock()
	defer m.lock.Unlock()
	return slices.Collect(maps.Keys(m.owned))
}

func (m *member) told(wanted error) bool {
	m.lock.Lock()
	defer m.lock.Unlock()
	for _, err := range m.errs {
		if errors.Is(err, wanted) {
			return true
		}
	}
	return false
}

// shares is true when the members own so many partitions each, and none of them twice.
func shares(members []*member, counts ...int) bool {
	return support.Shares(members, (*member).owns, counts...)
}

func TestMembersShareThePartitions(t *testing.T) {
	eachBalancer(t, func(t *testing.T, options []kgo.Opt) {
		topic, group, all := topicOf(t, "shared", 4), unique("shared"), newSink()
		first := join(t, group, "first", all, nil, options, kgo.ConsumeTopics(topic))
		eventually(t, "the first has all", func() bool { return shares([]*member{first}, 4) })
		second := join(t, group, "second", all, nil, options, kgo.ConsumeTopics(topic))
		eventually(t, "half each", func() bool { return shares([]*member{first, second}, 2, 2) })
		send(t, numbered(topic, "both", 40, 4))
		eventually(t, "all of it", func() bool { return all.distinct() == 40 })
		first.leave()
		eventually(t, "the rest for the second", func() bool { return shares([]*member{second}, 4) })
		send(t, numbered(topic, "one", 40, 4))
		eventually(t, "all of it again", func() bool { return all.distinct() == 80 })
		equal(t, "twice in a generation", all.twice, []string(nil))
	})
}

func TestMoreMembersThanPartitions(t *testing.T) {
	eachBalancer(t, func(t *testing.T, options []kgo.Opt) {
		topic, group := topicOf(t, "excess", 1), unique("excess")
		members := []*member{join(t, group, "1", nil, nil, options, kgo.ConsumeTopics(topic)), join(t, group, "2", nil, nil, options, kgo.ConsumeTopics(topic))}
		eventually(t, "one has it", func() bool { return len(members[0].owns())+len(members[1].owns()) == 1 })
		busy, idle := members[0], members[1]
		if len(busy.owns()) == 0 {
			busy, idle = idle, busy
		}
		busy.leave()
		eventually(t, "the other takes over", func() bool { return shares([]*member{idle}, 1) })
	})
}

func TestPartitionsAndTopicsThatAreAddedAreGivenOut(t *testing.T) {
	eachBalancer(t, func(t *testing.T, options []kgo.Opt) {
		prefix, all := unique("added"), newSink()
		makeTopic(t, prefix+"-1", 1)
		m := join(t, prefix, "m", all, nil, options, kgo.ConsumeRegex(), kgo.ConsumeTopics(prefix+"-[0-9]"))
		eventually(t, "one", func() bool { return shares([]*member{m}, 1) })
		support.Value(adminOf(t).UpdatePartitions(patient(t), 3, prefix+"-1"))(t)
		eventually(t, "three", func() bool { return shares([]*member{m}, 3) })
		makeTopic(t, prefix+"-2", 2)
		makeTopic(t, prefix+"-other", 2)
		eventually(t, "five", func() bool { return shares([]*member{m}, 5) })
		send(t, append(numbered(prefix+"-1", "a", 3, 3), numbered(prefix+"-2", "b", 2, 2)...))
		eventually(t, "all of them", func() bool { return all.distinct() == 5 })
	})
}

func TestStaticMemberThatReturnsKeepsItsPartitions(t *testing.T) {
	eachBalancer(t, func(t *testing.T, options []kgo.Opt) {
		if isServerSide(options) {
			t.Skip("it says goodbye without its instance id, which Kafka refuses, too, so that its name is free when the session is over")
		}
		topic, group := topicOf(t, "static", 4), unique("static")
		static := func(name string) *member {
			return join(t, group, name, nil, nil, options, kgo.ConsumeTopics(topic), kgo.InstanceID(name))
		}
		stays, goes := static("stays"), static("goes")
		eventually(t, "half each", func() bool { return shares([]*member{stays, goes}, 2, 2) })
		_, before := stays.client.GroupMetadata()
		had := stays.owns()
		goes.leave()
		returned := static("goes")
		eventually(t, "half each again", func() bool { return shares([]*member{stays, returned}, 2, 2) })
		_, after := stays.client.GroupMetadata()
		equal(t, "the generation of the one that stayed", after, before)
		equal(t, "what it had", len(had), 2)
		left := support.Value(adminOf(t).LeaveGroup(patient(t), kadm.LeaveGroup(group).InstanceIDs("goes", "never")))(t)
		must(t, left["goes"].Err)
		if err := left["never"].Err; !errors.Is(err, kerr.UnknownMemberID) {
			t.Fatalf("a stranger leaves: %v", err)
		}
	})
}

func isServerSide(options []kgo.Opt) bool { return len(options) == 2 }

func TestStaticMemberIsFencedByItsDouble(t *testing.T) {
	eachBalancer(t, func(t *testing.T, options []kgo.Opt) {
		topic, group := topicOf(t, "double", 2), unique("double")
		first := join(t, group, "first", nil, nil, options, kgo.ConsumeTopics(topic), kgo.InstanceID("same"))
		eventually(t, "all", func() bool { return shares([]*member{first}, 2) })
		second := join(t, group, "second", nil, nil, options, kgo.ConsumeTopics(topic), kgo.InstanceID("same"))
		if isServerSide(options) {
			// An instance id that is in use is not given away (KIP-848).
			eventually(t, "the second is told", func() bool { return second.told(kerr.UnreleasedInstanceID) })
			return
		}
		eventually(t, "the double has all", func() bool { return shares([]*member{second}, 2) })
		eventually(t, "the first is told", func() bool { return first.told(kerr.FencedInstanceID) })
	})
}

// Two groups in a row: the first reads a topic and writes what it read to the next one, the second reads that; members of both come and go, and leave nothing out.
func TestChainOfGroupsWhoseMembersComeAndGo(t *testing.T) {
	eachBalancer(t, func(t *testing.T, options []kgo.Opt) {
		from, to := topicOf(t, "chain-1", 6), topicOf(t, "chain-2", 6)
		group, first, second := unique("chain"), newSink(), newSink()
		const count = 1200
		copying := func(limit int) func(*kgo.Client, []*kgo.Record) bool {
			done := 0
			return func(client *kgo.Client, records []*kgo.Record) bool {
				copies := []*kgo.Record{}
				for _, record := range records {
					copies = append(copies, &kgo.Record{Topic: to, Partition: record.Partition, Key: record.Key, Value: record.Value})
				}
				if err := client.ProduceSync(context.Background(), copies...).FirstErr(); err != nil {
					t.Error(err)
				}
				done += len(records)
				return limit == 0 || done < limit
			}
		}
		counting := func(limit int) func(*kgo.Client, []*kgo.Record) bool {
			return func(_ *kgo.Client, records []*kgo.Record) bool {
				limit -= len(records)
				return limit > 0
			}
		}
		join(t, group+"-1", "stays", first, copying(0), options, kgo.ConsumeTopics(from))
		join(t, group+"-2", "stays", second, nil, options, kgo.ConsumeTopics(to))
		for n := range 4 {
			send(t, numbered(from, fmt.Sprint(n), count/4, 6))
			join(t, group+"-1", fmt.Sprint("m", n), first, copying(20+rand.IntN(150)), options, kgo.ConsumeTopics(from))
			join(t, group+"-2", fmt.Sprint("m", n), second, counting(20+rand.IntN(150)), options, kgo.ConsumeTopics(to))
			time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
		}
		eventually(t, "all of it", func() bool { return first.distinct() == count && second.distinct() == count })
		equal(t, "twice in a generation", append(first.twice, second.twice...), []string(nil))
		second.Lock()
		defer second.Unlock()
		for at, values := range second.firsts {
			previous := [4]int{-1, -1, -1, -1}
			for _, value := range values {
				var round, n int
				fmt.Sscanf(value, "%d-%d", &round, &n)
				if n <= previous[round] {
					t.Fatalf("%v: %d after %d", at, n, previous[round])
				}
				previous[round] = n
			}
		}
	})
}

func TestGroupChangesItsProtocolWhileItRuns(t *testing.T) {
	t.Parallel()
	topic, group, all := topicOf(t, "migrates", 4), unique("migrates"), newSink()
	admin := adminOf(t)
	kind := func() string {
		return support.Value(admin.ListGroups(patient(t)))(t)[group].GroupType
	}
	old := join(t, group, "old", all, nil, balancers["cooperative-sticky"], kgo.ConsumeTopics(topic))
	eventually(t, "the old one has all", func() bool { return shares([]*member{old}, 4) })
	eventually(t, "at first it is classic", func() bool { return kind() == "classic" })
	young := join(t, group, "young", all, nil, balancers["server-uniform"], kgo.ConsumeTopics(topic))
	eventually(t, "half each", func() bool { return shares([]*member{old, young}, 2, 2) })
	equal(t, "with a member of the consumer protocol", kind(), "consumer")
	send(t, numbered(topic, "a", 40, 4))
	eventually(t, "all of it", func() bool { return all.distinct() == 40 })
	young.leave()
	eventually(t, "the old one has all again", func() bool { return shares([]*member{old}, 4) })
	eventually(t, "and the group is what it was", func() bool { return kind() == "classic" })
	send(t, numbered(topic, "b", 40, 4))
	eventually(t, "the rest", func() bool { return all.distinct() == 80 })
}

func TestCommitsByHand(t *testing.T) {
	eachBalancer(t, func(t *testing.T, options []kgo.Opt) {
		topic, group := topicOf(t, "by-hand", 1), unique("by-hand")
		send(t, numbered(topic, "a", 10, 1))
		mine := append([]kgo.Opt{kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.HeartbeatInterval(200 * time.Millisecond)}, options...)
		first := clientOf(t, mine...)
		must(t, first.CommitRecords(patient(t), poll(t, first, 10)[:4]...))
		first.Close()
		second := clientOf(t, mine...)
		equal(t, "after the commit", string(poll(t, second, 6)[0].Value), "a-4")
		must(t, second.CommitUncommittedOffsets(patient(t)))
		second.Close()
		committed, _ := support.Value(adminOf(t).FetchOffsets(patient(t), group))(t).Lookup(topic, 0)
		equal(t, "committed", committed.At, int64(10))
		if !isServerSide(options) {
			// The admin client describes every group as a classic one here, which both brokers refuse for the others.
			lag := support.Value(adminOf(t).Lag(patient(t), group))(t)[group]
			must(t, lag.Error())
			equal(t, "lag", []any{lag.Lag.Total(), lag.State}, []any{int64(0), "Empty"})
		}
	})
}

func TestMembersGoOnWhenTheBrokerDies(t *testing.T) {
	support.MayDie(t)
	topic := topicOf(t, "go-on", 4)
	type running struct {
		all     *sink
		members []*member
	}
	groups := map[string]running{}
	for name, options := range balancers {
		each := running{all: newSink()}
		for n := range 2 {
			each.members = append(each.members, join(t, topic+name, fmt.Sprint(n), each.all, nil, options, kgo.ConsumeTopics(topic)))
		}
		groups[name] = each
	}
	check := func(count int) {
		for name, each := range groups {
			eventually(t, fmt.Sprint(name, ": ", count, " records"), func() bool { return each.all.distinct() == count })
			eventually(t, name+": half each", func() bool { return shares(each.members, 2, 2) })
			equal(t, name+": twice in a generation", each.all.twice, []string(nil))
		}
	}
	send(t, numbered(topic, "a", 40, 4))
	check(40)
	support.Crash(t)
	send(t, numbered(topic, "b", 40, 4))
	check(80)
	for _, each := range groups {
		each.members[0].leave()
		each.members[1].leave()
	}
	support.Restart(t)
	for name := range groups {
		committed := support.Value(adminOf(t).FetchOffsets(patient(t), topic+name))(t)
		for partition := range int32(4) {
			offset, _ := committed.Lookup(topic, partition)
			equal(t, name+": what was committed last", offset.At, int64(20))
		}
	}
}
