package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var administering = map[string]scenario{
	"cluster": cluster, "topic-lifecycle": topicLifecycle, "topic-exists": topicExists,
	"invalid-topic-name": invalidTopicName, "add-partitions": addPartitions, "delete-records": deletingRecords,
	"log-dirs": logDirs, "describe-producers": describeProducers,
}

func (k *kafka) topics(names ...string) (kadm.TopicDetails, error) {
	ctx, cancel := timed()
	defer cancel()
	return k.admin.ListTopics(ctx, names...)
}

func cluster(k *kafka) error {
	ctx, cancel := timed()
	defer cancel()
	found, err := k.admin.BrokerMetadata(ctx)
	if err != nil {
		return err
	}
	var nodes []string
	for _, b := range found.Brokers {
		nodes = append(nodes, fmt.Sprintf("%d@%s:%d", b.NodeID, b.Host, b.Port))
	}
	return all(
		func() error { return equal(len(nodes), k.brokers, "brokers") },
		func() error {
			return equal(slices.Contains(nodes, "1@"+strings.Split(k.bootstrap, ",")[0]), true, "broker 1 is there")
		},
		func() error {
			return equal(found.Controller >= 1 && int(found.Controller) <= k.brokers, true, "a controller")
		},
		func() error { return equal(found.Cluster != "", true, "there is a cluster id") },
	)
}

func (k *kafka) deleteTopic(topic string) error {
	ctx, cancel := timed()
	defer cancel()
	_, err := k.admin.DeleteTopic(ctx, topic)
	return err
}

func topicLifecycle(k *kafka) error {
	topic := "lifecycle"
	if err := k.create(topic, 4, nil); err != nil {
		return err
	}
	found, err := k.topics()
	if err != nil {
		return err
	}
	first := found[topic]
	if err := equal(len(first.Partitions), 4, "partitions"); err != nil {
		return err
	}
	var ids []int32
	for id := range k.brokers {
		ids = append(ids, int32(id)+1)
	}
	for _, p := range first.Partitions {
		slices.Sort(p.Replicas)
		slices.Sort(p.ISR)
		if err := equal([][]int32{p.Replicas, p.ISR}, [][]int32{ids, ids}, "replicas, ISR"); err != nil {
			return err
		}
		if err := equal(slices.Contains(ids, p.Leader), true, "it has a leader"); err != nil {
			return err
		}
	}
	gone := func() error {
		found, err := k.topics()
		if err != nil {
			return err
		}
		return equal(found.Has(topic), false, "it is still listed")
	}
	old := []*kgo.Record{{Topic: topic, Value: []byte("old")}}
	if err := all(
		func() error { return k.produce(old) },
		func() error { return k.deleteTopic(topic) },
		func() error { return eventually(gone) },
		func() error {
			return refused("deleting it again", kerr.UnknownTopicOrPartition, k.deleteTopic(topic))
		},
		func() error { return k.create(topic, 2, nil) },
	); err != nil {
		return err
	}
	renewed := func() error {
		found, err := k.topics(topic)
		if err != nil {
			return err
		}
		if second := found[topic]; second.ID == first.ID || len(second.Partitions) != 2 {
			return fmt.Errorf("the new topic is %s, the old was %s", short(second), short(first))
		}
		return nil
	}
	if err := eventually(renewed); err != nil {
		return err
	}
	return k.writeAndReadBack(topic, []*kgo.Record{{Topic: topic, Value: []byte("new")}})
}

func topicExists(k *kafka) error {
	if err := k.create("exists", 1, nil); err != nil {
		return err
	}
	return refused("a second creation", kerr.TopicAlreadyExists, k.create("exists", 1, nil))
}

func invalidTopicName(k *kafka) error {
	for _, name := range []string{"a b", "a/b", ".", "..", strings.Repeat("x", 250)} {
		if err := refused(fmt.Sprintf("topic %q", name), kerr.InvalidTopicException, k.create(name, 1, nil)); err != nil {
			return err
		}
	}
	ctx, cancel := timed()
	defer cancel()
	_, err := k.admin.CreateTopic(ctx, 1, int16(k.brokers+1), nil, "too-many-replicas")
	if err := refused("more replicas than brokers", kerr.InvalidReplicationFactor, err); err != nil {
		return err
	}
	if err := refused("0 partitions", kerr.InvalidPartitions, k.create("no-partitions", 0, nil)); err != nil {
		return err
	}
	if _, err := k.admin.ValidateCreateTopics(ctx, 1, 1, nil, "only-validated"); err != nil {
		return err
	}
	found, err := k.topics()
	if err != nil {
		return err
	}
	return equal(found.Has("only-validated"), false, "a validation created it")
}

func addPartitions(k *kafka) error {
	topic := "add-partitions"
	if err := k.create(topic, 2, nil); err != nil {
		return err
	}
	ctx, cancel := timed()
	defer cancel()
	update := func(count int) error {
		answers, err := k.admin.UpdatePartitions(ctx, count, topic)
		if err != nil {
			return err
		}
		return answers.Error()
	}
	five := func() error {
		found, err := k.topics(topic)
		if err != nil {
			return err
		}
		return equal(len(found[topic].Partitions), 5, "partitions")
	}
	records := []*kgo.Record{{Topic: topic, Partition: 4, Value: []byte("v")}}
	return all(
		func() error { return update(5) },
		func() error { return eventually(five) },
		func() error { return k.produce(records) },
		func() error { return k.expectBounds(topic, 4, 0, 1) },
		func() error { return refused("fewer", kerr.InvalidPartitions, update(3)) },
	)
}

// deleteRecords deletes what is before the offset in partition 0; -1 is everything.
func (k *kafka) deleteRecords(topic string, before int64) error {
	ctx, cancel := timed()
	defer cancel()
	request := kadm.Offsets{}
	request.Add(kadm.Offset{Topic: topic, Partition: 0, At: before})
	answers, err := k.admin.DeleteRecords(ctx, request)
	if err != nil {
		return err
	}
	answer, _ := answers.Lookup(topic, 0)
	if answer.Err != nil {
		return answer.Err
	}
	if before >= 0 {
		return equal(answer.LowWatermark, before, "low watermark")
	}
	return nil
}

func deletingRecords(k *kafka) error {
	topic := "delete-records"
	left := func() error {
		read, err := k.readAll(topic)
		if err != nil {
			return err
		}
		return equal([]int64{read[0].Offset, int64(len(read))}, []int64{40, 60}, "first offset and count left")
	}
	return all(
		func() error { return k.create(topic, 1, nil) },
		func() error { return k.writeNumbers(topic, 100) },
		func() error { return k.deleteRecords(topic, 40) },
		func() error { return k.expectBounds(topic, 0, 40, 100) },
		left,
		func() error { return refused("beyond the end", kerr.OffsetOutOfRange, k.deleteRecords(topic, 101)) },
		func() error { return k.deleteRecords(topic, -1) },
		func() error { return k.expectBounds(topic, 0, 100, 100) },
	)
}

func logDirs(k *kafka) error {
	topic := "log-dirs"
	if err := all(
		func() error { return k.create(topic, 2, nil) },
		func() error {
			return k.writeNumbers(topic, 1000, kgo.ProducerBatchCompression(kgo.NoCompression()))
		},
	); err != nil {
		return err
	}
	ctx, cancel := timed()
	defer cancel()
	found, err := k.admin.DescribeAllLogDirs(ctx, nil)
	if err != nil {
		return err
	}
	var directories, partitions []string
	var failure error
	found.Each(func(d kadm.DescribedLogDir) {
		directories = append(directories, d.Dir)
		if d.Err != nil || d.TotalBytes <= 0 || d.UsableBytes <= 0 || d.UsableBytes > d.TotalBytes {
			failure = fmt.Errorf("%s: %v, %d of %d bytes usable", d.Dir, d.Err, d.UsableBytes, d.TotalBytes)
		}
		d.Topics.Each(func(p kadm.DescribedLogDirPartition) {
			if p.Topic != topic {
				return
			}
			partitions = append(partitions, fmt.Sprintf("%d lag %d future %t", p.Partition, p.OffsetLag, p.IsFuture))
			if (p.Partition == 0) != (p.Size > 1000) {
				failure = fmt.Errorf("partition %d has %d bytes", p.Partition, p.Size)
			}
		})
	})
	if failure != nil {
		return failure
	}
	slices.Sort(partitions)
	return all(
		func() error { return equal(len(directories), k.brokers, "directories") },
		func() error {
			expected := append(slices.Repeat([]string{"0 lag 0 future false"}, k.brokers),
				slices.Repeat([]string{"1 lag 0 future false"}, k.brokers)...)
			return equal(partitions, expected, "partitions")
		},
	)
}

func describeProducers(k *kafka) error {
	topic := "describe-producers"
	if err := all(
		func() error { return k.create(topic, 1, nil) },
		func() error { return k.writeNumbers(topic, 50) },
	); err != nil {
		return err
	}
	read, err := k.readAll(topic)
	if err != nil {
		return err
	}
	ctx, cancel := timed()
	defer cancel()
	request := kadm.TopicsSet{}
	request.Add(topic, 0)
	found, err := k.admin.DescribeProducers(ctx, request)
	if err != nil {
		return err
	}
	partition := found[topic].Partitions[0]
	if partition.Err != nil {
		return partition.Err
	}
	var producers [][]int64
	for _, p := range partition.ActiveProducers {
		producers = append(producers, []int64{p.ProducerID, int64(p.ProducerEpoch), int64(p.LastSequence), p.CurrentTxnStartOffset})
	}
	last := read[len(read)-1]
	return equal(producers, [][]int64{{last.ProducerID, int64(last.ProducerEpoch), 49, -1}}, "id, epoch, last sequence, transaction")
}
