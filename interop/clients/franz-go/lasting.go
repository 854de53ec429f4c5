package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// lasting scenarios have more than one thing going on, or going on for a while.
var lasting = map[string]scenario{
	"concurrent-producers": concurrentProducers, "fetch-session": fetchSession, "segments": segments,
	"timestamp-limits": timestampLimits, "over-restart:before": beforeOverRestart, "over-restart:after": afterOverRestart,
}

func concurrentProducers(k *kafka) error {
	const topic, producers, each = "concurrent-producers", 8, 2000
	if err := k.create(topic, 1, nil); err != nil {
		return err
	}
	failures := make([]error, producers)
	var all sync.WaitGroup
	for p := range producers {
		all.Go(func() {
			records := make([]*kgo.Record, each)
			for i := range records {
				records[i] = &kgo.Record{Topic: topic, Key: []byte(strconv.Itoa(p)), Value: []byte(strconv.Itoa(i))}
			}
			failures[p] = k.produce(records, kgo.ProducerBatchMaxBytes(4096))
		})
	}
	all.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	read, err := k.readAll(topic)
	if err != nil {
		return err
	}
	next := map[string]int{}
	for i, r := range read {
		key := string(r.Key)
		if r.Offset != int64(i) || string(r.Value) != strconv.Itoa(next[key]) {
			return fmt.Errorf("offset %d: producer %s wrote %s, but its next is %d", r.Offset, key, r.Value, next[key])
		}
		next[key]++
	}
	return equal(len(read), producers*each, "records")
}

func fetchSession(k *kafka) error {
	const topic, partitions = "fetch-session", 50
	if err := k.create(topic, partitions, nil); err != nil {
		return err
	}
	assigned, first := map[int32]kgo.Offset{}, make([]*kgo.Record, partitions)
	for p := range int32(partitions) {
		assigned[p] = kgo.NewOffset().At(0)
		first[p] = &kgo.Record{Topic: topic, Partition: p, Value: []byte("first")}
	}
	producer, err := k.client()
	if err != nil {
		return err
	}
	defer producer.Close()
	ctx, cancel := timed()
	defer cancel()
	if err := producer.ProduceSync(ctx, first...).FirstErr(); err != nil {
		return err
	}
	client, err := k.client(kgo.FetchMaxWait(20*time.Second), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: assigned}))
	if err != nil {
		return err
	}
	defer client.Close()
	// franz-go begins to fetch as soon as the first partition has its offset, and its first fetch then lacks the others: a
	// record of theirs waits until that fetch is over. Once each has given a record, every fetch has all fifty.
	for seen := 0; seen < partitions; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("%d of %d first records: %w", seen, partitions, err)
		}
		seen += fetches.NumRecords()
	}
	chance := rand.New(rand.NewSource(11))
	for i := range 150 {
		// One partition of fifty has something; the incremental fetch answers with that one only, and at once.
		partition := int32(chance.Intn(partitions))
		if i == 50 {
			client.PauseFetchPartitions(map[string][]int32{topic: {7}})
		}
		if i > 50 && partition == 7 {
			continue
		}
		r := &kgo.Record{Topic: topic, Partition: partition, Value: []byte(strconv.Itoa(i))}
		if err := producer.ProduceSync(ctx, r).FirstErr(); err != nil {
			return err
		}
		produced := time.Now()
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("record %d in partition %d: %w", i, partition, err)
		}
		got := fetches.Records()
		if len(got) != 1 || got[0].Partition != partition || string(got[0].Value) != string(r.Value) {
			return fmt.Errorf("record %d in partition %d came back as %s", i, partition, short(got))
		}
		if late := time.Since(produced); late > 10*time.Second {
			return fmt.Errorf("record %d in partition %d arrived after %v: only when the wait was over", i, partition, late)
		}
	}
	return nil
}

func segments(k *kafka) error {
	topic, count := "segments", 6000
	if err := k.create(topic, 1, map[string]string{"segment.bytes": "1048576"}); err != nil {
		return err
	}
	start := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	chance := rand.New(rand.NewSource(3))
	records := make([]*kgo.Record, count)
	for i := range records {
		value := make([]byte, 1000)
		chance.Read(value)
		records[i] = &kgo.Record{Topic: topic, Value: value, Timestamp: start.Add(time.Duration(i) * 100 * time.Millisecond)}
	}
	if err := k.writeAndReadBack(topic, records, kgo.ProducerBatchMaxBytes(20_000), kgo.ProducerBatchCompression(kgo.NoCompression())); err != nil {
		return err
	}
	for from := 500; from < count; from += 1100 {
		read, err := k.read(topic, kgo.NewOffset().At(int64(from)), []int32{0})
		if err != nil {
			return err
		}
		if err := sameRecords(read, records[from:]); err != nil {
			return fmt.Errorf("from %d: %w", from, err)
		}
		ctx, cancel := timed()
		listed, err := k.admin.ListOffsetsAfterMilli(ctx, records[from].Timestamp.UnixMilli(), topic)
		cancel()
		found, err := one(listed, err, topic, 0)
		if err != nil {
			return err
		}
		if err := equal(found.Offset, int64(from), "offset by its timestamp"); err != nil {
			return err
		}
	}
	return all(
		func() error { return k.deleteRecords(topic, 2500) },
		func() error { return k.expectBounds(topic, 0, 2500, int64(count)) },
		func() error {
			read, err := k.readAll(topic)
			if err != nil {
				return err
			}
			return sameRecords(read, records[2500:])
		},
	)
}

func timestampLimits(k *kafka) error {
	topic := "timestamp-limits"
	limits := map[string]string{"message.timestamp.before.max.ms": "60000", "message.timestamp.after.max.ms": "60000"}
	if err := k.create(topic, 1, limits); err != nil {
		return err
	}
	at := func(after time.Duration) []*kgo.Record {
		return []*kgo.Record{{Topic: topic, Value: []byte("v"), Timestamp: time.Now().Add(after)}}
	}
	return all(
		func() error { return k.produce(at(30 * time.Second)) },
		func() error { return k.produce(at(-30 * time.Second)) },
		func() error { return refused("an hour ahead", kerr.InvalidTimestamp, k.produce(at(time.Hour))) },
		func() error { return refused("an hour ago", kerr.InvalidTimestamp, k.produce(at(-time.Hour))) },
		func() error { return k.expectBounds(topic, 0, 0, 2) },
	)
}

// underway is a producer and a consumer that go on while the broker is restarted.
type underway struct {
	stop     context.CancelFunc
	done     chan error
	produced int
	consumer *kgo.Client
	consumed []*kgo.Record
}

func beforeOverRestart(k *kafka) error {
	topic := "over-restart"
	if err := k.create(topic, 1, nil); err != nil {
		return err
	}
	consumer, err := k.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(0)}}))
	if err != nil {
		return err
	}
	producer, err := k.client()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	u := &underway{stop: stop, done: make(chan error, 1), consumer: consumer}
	started := make(chan struct{})
	go func() {
		defer producer.Close()
		for ctx.Err() == nil {
			var batch []*kgo.Record
			for range 10 {
				batch = append(batch, &kgo.Record{Topic: topic, Value: []byte(strconv.Itoa(u.produced + len(batch)))})
			}
			if err := producer.ProduceSync(context.Background(), batch...).FirstErr(); err != nil {
				u.done <- err
				return
			}
			u.produced += len(batch)
			if u.produced == 100 {
				close(started)
			}
		}
		u.done <- nil
	}()
	k.remembered = u
	select {
	case <-started:
		return nil
	case err := <-u.done:
		return err
	case <-time.After(limit):
		return errors.New("the producer does not get going")
	}
}

func afterOverRestart(k *kafka) error {
	u, _ := k.remembered.(*underway)
	defer u.consumer.Close()
	// Something must come through after the restart too.
	end, err := k.end("over-restart", 0)
	for deadline := time.Now().Add(limit); err == nil && time.Now().Before(deadline); {
		var now = end
		if now, err = k.end("over-restart", 0); now.Offset > end.Offset {
			break
		}
	}
	if err != nil {
		return err
	}
	u.stop()
	if err := <-u.done; err != nil {
		return fmt.Errorf("the producer that was running: %w", err)
	}
	ctx, cancel := timed()
	defer cancel()
	for len(u.consumed) < u.produced {
		fetches := u.consumer.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%d of %d records reach the consumer that was running: %w", len(u.consumed), u.produced, err)
		}
		u.consumed = append(u.consumed, fetches.Records()...)
	}
	for i, r := range u.consumed {
		if r.Offset != int64(i) || string(r.Value) != strconv.Itoa(i) {
			return fmt.Errorf("offset %d has %s: a record was lost, doubled or moved", r.Offset, r.Value)
		}
	}
	return equal(len(u.consumed), u.produced, "records")
}
