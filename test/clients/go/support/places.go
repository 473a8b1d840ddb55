package support

// Place is a partition of a topic.
type Place struct {
	Topic     string
	Partition int32
}

// Shares is true when the members own so many partitions each, and none of them twice; owns gives those of a member.
func Shares[M any](members []M, owns func(M) []Place, counts ...int) bool {
	all, total := map[Place]bool{}, 0
	for n, member := range members {
		owned := owns(member)
		if len(owned) != counts[n] {
			return false
		}
		total += len(owned)
		for _, at := range owned {
			all[at] = true
		}
	}
	return len(all) == total
}

// At is the place of a partition.
func At(topic string, partition int32) Place { return Place{Topic: topic, Partition: partition} }
