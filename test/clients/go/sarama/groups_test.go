package sarama_test

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

	"github.com/IBM/sarama"
)

type place = support.Place

type sight struct {
	place
	offset     int64
	generation int32
}

// sink gathers what the members of a group see, and complains about a record that comes twice in one generation.
type sink struct {
	sync.Mutex
	seen   map[sight]string
	values map[string]int
	twice  []string
}

func newSink() *sink { return &sink{seen: map[sight]string{}, values: map[string]int{}} }

func (s *sink) take(member string, generation int32, message *sarama.ConsumerMessage) {
	s.Lock()
	defer s.Unlock()
	key := sight{support.At(message.Topic, message.Partition), message.Offset, generation}
	if other, there := s.seen[key]; there {
		s.twice = append(s.twice, fmt.Sprintf("%v by %s and %s", key, other, member))
	}
	s.seen[key] = member
	s.values[string(message.Value)]++
}

func (s *sink) distinct() int {
	s.Lock()
	defer s.Unlock()
	return len(s.values)
}

type member struct {
	name       string
	sink       *sink
	limit      int
	cancel     context.CancelFunc
	done       chan struct{}
	group      sarama.ConsumerGroup
	lock       sync.Mutex
	owned      map[place]bool
	taken      int
	generation int32
	errs       []error
}

// join starts a member; with a limit it leaves by itself after so many records.
func join(t *testing.T, config *sarama.Config, group, name string, to *sink, limit int, topics ...string) *member {
	t.Helper()
	config.ClientID = name
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{name: name, sink: to, limit: limit, cancel: cancel, done: make(chan struct{}), owned: map[place]bool{}}
	m.group = support.Value(sarama.NewConsumerGroup([]string{support.Broker(t)}, group, config))(t)
	go func() {
		for err := range m.group.Errors() {
			m.lock.Lock()
			m.errs = append(m.errs, err)
			m.lock.Unlock()
		}
	}()
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			if err := m.group.Consume(ctx, topics, m); err != nil {
				m.lock.Lock()
				m.errs = append(m.errs, err)
				m.lock.Unlock()
				if errors.Is(err, sarama.ErrFencedInstancedId) || errors.Is(err, sarama.ErrClosedConsumerGroup) {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
		}
		m.group.Close()
	}()
	t.Cleanup(m.leave)
	return m
}

func (m *member) leave() {
	m.cancel()
	<-m.done
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.generation = session.GenerationID()
	return nil
}
func (m *member) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	at := support.At(claim.Topic(), claim.Partition())
	m.own(at, true)
	defer m.own(at, false)
	generation := session.GenerationID()
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			if m.sink != nil {
				m.sink.take(m.name, generation, message)
			}
			session.MarkMessage(message, "")
			if m.enough() {
				m.cancel()
				return nil
			}
		case <-session.Context().Done():
			return nil
		}
	}
}

func (m *member) own(at place, owned bool) {
	m.lock.Lock()
	defer m.lock.Unlock()
	if owned {
		m.owned[at] = true
	} else {
		delete(m.owned, at)
	}
}

func (m *member) enough() bool {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.taken++
	return m.limit > 0 && m.taken >= m.limit
}

func (m *member) owns() []place {
	m.lock.Lock()
	defer m.lock.Unlock()
	return slices.Collect(maps.Keys(m.owned))
}

// shares is true when the members own so many partitions each, and none of them twice.
func shares(members []*member, counts ...int) bool {
	return support.Shares(members, (*member).owns, counts...)
}

var strategies = map[string]func() sarama.BalanceStrategy{
	"range":              sarama.NewBalanceStrategyRange,
	"roundrobin":         sarama.NewBalanceStrategyRoundRobin,
	"sticky":             sarama.NewBalanceStrategySticky,
	"cooperative-sticky": sarama.NewBalanceStrategyCooperativeSticky,
}

// eachStrategy runs a test in each strategy, as a client of the oldest version that has it and of the newest.
func eachStrategy(t *testing.T, test func(*testing.T, func() *sarama.Config)) {
	t.Parallel()
	for name, strategy := range strategies {
		oldest := versions[0]
		if name == sarama.CooperativeStickyBalanceStrategyName {
			oldest = versions[1]
		}
		for _, version := range []sarama.KafkaVersion{oldest, sarama.MaxVersion} {
			t.Run(name+"/"+version.String(), func(t *testing.T) {
				t.Parallel()
				test(t, func() *sarama.Config {
					config := configOf(version)
					config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategy()}
					return config
				})
			})
		}
	}
}

func TestMembersShareThePartitions(t *testing.T) {
	eachStrategy(t, func(t *testing.T, config func() *sarama.Config) {
		topic, group, all := topicOf(t, "shared", 4), unique("shared"), newSink()
		first := join(t, config(), group, "first", all, 0, topic)
		eventually(t, "the first has all", func() bool { return shares([]*member{first}, 4) })
		second := join(t, config(), group, "second", all, 0, topic)
		eventually(t, "half each", func() bool { return shares([]*member{first, second}, 2, 2) })
		send(t, config(), numbered(topic, "both", 40, 4)...)
		eventually(t, "all of it", func() bool { return all.distinct() == 40 })
		first.leave()
		eventually(t, "the rest for the second", func() bool { return shares([]*member{second}, 4) })
		send(t, config(), numbered(topic, "one", 40, 4)...)
		eventually(t, "all of it again", func() bool { return all.distinct() == 80 })
		equal(t, "twice in a generation", all.twice, []string(nil))
	})
}

func TestMoreMembersThanPartitions(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		topic, group := topicOf(t, "excess", 2), unique("excess")
		copyOf := func() *sarama.Config { return configOf(config.Version) }
		members := []*member{join(t, copyOf(), group, "1", nil, 0, topic), join(t, copyOf(), group, "2", nil, 0, topic), join(t, copyOf(), group, "3", nil, 0, topic)}
		owned := func() (busy []*member) {
			for _, m := range members {
				if len(m.owns()) == 1 {
					busy = append(busy, m)
				}
			}
			return
		}
		eventually(t, "two have one each", func() bool { return len(owned()) == 2 && shares(owned(), 1, 1) })
		owned()[0].leave()
		eventually(t, "the third takes over", func() bool { return len(owned()) == 2 && shares(owned(), 1, 1) })
	})
}

func TestMembersThatSubscribeToDifferentTopics(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		a, b, group := topicOf(t, "a", 2), topicOf(t, "b", 3), unique("different")
		both := join(t, configOf(config.Version), group, "both", nil, 0, a, b)
		eventually(t, "all five", func() bool { return shares([]*member{both}, 5) })
		onlyB := join(t, configOf(config.Version), group, "only-b", nil, 0, b)
		eventually(t, "shared", func() bool {
			for _, at := range onlyB.owns() {
				if at.Topic != b {
					t.Fatalf("%v was not asked for", at)
				}
			}
			owned := len(onlyB.owns())
			return owned > 0 && shares([]*member{both, onlyB}, 5-owned, owned)
		})
	})
}

func TestPartitionsThatAreAddedAreGivenOut(t *testing.T) {
	eachVersion(t, func(t *testing.T, config *sarama.Config) {
		topic, all := topicOf(t, "added", 1), newSink()
		config.Metadata.RefreshFrequency = 200 * time.Millisecond
		m := join(t, config, unique("added"), "m", all, 0, topic)
		eventually(t, "one", func() bool { return shares([]*member{m}, 1) })
		must(t, adminOf(t, newest()).CreatePartitions(topic, 3, nil, false))
		eventually(t, "three", func() bool { return shares([]*member{m}, 3) })
		send(t, newest(), numbered(topic, "x", 9, 3)...)
		eventually(t, "all of them", func() bool { return all.distinct() == 9 })
	})
}

func TestStaticMemberThatReturnsKeepsItsPartitions(t *testing.T) {
	eachStrategy(t, func(t *testing.T, config func() *sarama.Config) {
		if !config().Version.IsAtLeast(sarama.V2_3_0_0) {
			t.Skip("static members are there since 2.3")
		}
		topic, group := topicOf(t, "static", 4), unique("static")
		static := func(name string) *member {
			mine := config()
			mine.Consumer.Group.InstanceId = name
			mine.Consumer.Group.Session.Timeout = 30 * time.Second
			return join(t, mine, group, name, nil, 0, topic)
		}
		stays, goes := static("stays"), static("goes")
		eventually(t, "half each", func() bool { return shares([]*member{stays, goes}, 2, 2) })
		generation := func() int32 {
			stays.lock.Lock()
			defer stays.lock.Unlock()
			return stays.generation
		}
		before := generation()
		goes.leave()
		returned := static("goes")
		eventually(t, "half each again", func() bool { return shares([]*member{stays, returned}, 2, 2) })
		equal(t, "the generation of the one that stayed", generation(), before)
		group1 := support.Value(adminOf(t, newest()).DescribeConsumerGroups([]string{group}))(t)[0]
		names := map[string]bool{}
		for _, each := range group1.Members {
			names[*each.GroupInstanceId] = true
		}
		equal(t, "members", names, map[string]bool{"goes": true, "stays": true})
	})
}

func TestStaticMemberIsFencedByItsDouble(t *testing.T) {
	t.Parallel()
	topic, group := topicOf(t, "double", 2), unique("double")
	static := func() *member {
		config := newest()
		config.Consumer.Group.InstanceId = "same"
		return join(t, config, group, "same", nil, 0, topic)
	}
	first := static()
	eventually(t, "all", func() bool { return shares([]*member{first}, 2) })
	second := static()
	eventually(t, "the double has all", func() bool { return shares([]*member{second}, 2) })
	eventually(t, "the first is told", func() bool {
		first.lock.Lock()
		defer first.lock.Unlock()
		for _, err := range first.errs {
			if errors.Is(err, sarama.ErrFencedInstancedId) {
				return true
			}
		}
		return false
	})
}

func TestAdminRemovesAStaticMember(t *testing.T) {
	t.Parallel()
	topic, group := topicOf(t, "removed", 2), unique("removed")
	config := newest()
	config.Consumer.Group.InstanceId = "gone"
	config.Consumer.Group.Session.Timeout = 5 * time.Minute
	gone := join(t, config, group, "gone", nil, 0, topic)
	eventually(t, "all", func() bool { return shares([]*member{gone}, 2) })
	gone.leave()
	admin := adminOf(t, newest())
	answer := support.Value(admin.RemoveMemberFromConsumerGroup(group, []string{"gone", "never"}))(t)
	equal(t, "answers", []sarama.KError{answer.Err, answer.Members[0].Err, answer.Members[1].Err}, []sarama.KError{sarama.ErrNoError, sarama.ErrNoError, sarama.ErrUnknownMemberId})
	eventually(t, "empty", func() bool {
		return support.Value(admin.DescribeConsumerGroups([]string{group}))(t)[0].State == "Empty"
	})
}

func TestMembersThatComeAndGoAtRandomLeaveNothingOut(t *testing.T) {
	eachStrategy(t, func(t *testing.T, config func() *sarama.Config) {
		topic, group, all := topicOf(t, "fuzz", 6), unique("fuzz"), newSink()
		const count = 600
		send(t, config(), numbered(topic, "before", count/2, 6)...)
		join(t, config(), group, "stays", all, 0, topic)
		for n := range 5 {
			join(t, config(), group, fmt.Sprint("m", n), all, 10+rand.IntN(60), topic)
			time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
			send(t, config(), numbered(topic, fmt.Sprint("during-", n), count/2/5, 6)...)
		}
		eventually(t, "all of it", func() bool { return all.distinct() == count })
		if config().Consumer.Group.Rebalance.GroupStrategies[0].Name() != sarama.CooperativeStickyBalanceStrategyName {
			equal(t, "twice in a generation", all.twice, []string(nil))
		}
	})
}

func TestCommitsSurviveTheDeathOfTheBroker(t *testing.T) {
	support.MayDie(t)
	topic, group := topicOf(t, "survive", 2), unique("survive")
	send(t, newest(), numbered(topic, "x", 20, 2)...)
	first := newSink()
	m := join(t, newest(), group, "first", first, 0, topic)
	eventually(t, "all", func() bool { return first.distinct() == 20 })
	m.leave()
	support.Crash(t)
	second := newSink()
	join(t, newest(), group, "second", second, 0, topic)
	send(t, newest(), numbered(topic, "y", 2, 2)...)
	eventually(t, "what is new", func() bool { return second.distinct() >= 2 })
	equal(t, "nothing else", second.values, map[string]int{"y-0": 1, "y-1": 1})
}

func TestMembersGoOnWhenTheBrokerDies(t *testing.T) {
	support.MayDie(t)
	topic, group, all := topicOf(t, "go-on", 4), unique("go-on"), newSink()
	members := []*member{join(t, newest(), group, "1", all, 0, topic), join(t, newest(), group, "2", all, 0, topic)}
	eventually(t, "half each", func() bool { return shares(members, 2, 2) })
	send(t, newest(), numbered(topic, "a", 40, 4)...)
	eventually(t, "the first part", func() bool { return all.distinct() == 40 })
	support.Crash(t)
	send(t, newest(), numbered(topic, "b", 40, 4)...)
	eventually(t, "the second part", func() bool { return all.distinct() == 80 })
	eventually(t, "half each again", func() bool { return shares(members, 2, 2) })
}
