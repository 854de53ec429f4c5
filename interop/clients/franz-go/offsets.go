package main

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var offsets = map[string]scenario{
	"offset-bounds": offsetBounds, "offset-by-timestamp": offsetByTimestamp, "offset-max-timestamp": offsetMaxTimestamp,
	"offset-specials": offsetSpecials, "fetch-from-offset": fetchFromOffset, "offset-out-of-range": offsetOutOfRange,
	"leader-epoch": leaderEpoch,
}

// one picks a partition's offset from an answer of ListOffsets.
func one(listed kadm.ListedOffsets, err error, topic string, partition int32) (kadm.ListedOffset, error) {
	if err != nil {
		return kadm.ListedOffset{}, err
	}
	offset, found := listed.Lookup(topic, partition)
	if !found {
		return offset, fmt.Errorf("no answer for %s-%d", topic, partition)
	}
	return offset, offset.Err
}

func (k *kafka) start(topic string, partition int32) (kadm.ListedOffset, error) {
	ctx, cancel := timed()
	defer cancel()
	listed, err := k.admin.ListStartOffsets(ctx, topic)
	return one(listed, err, topic, partition)
}

func (k *kafka) end(topic string, partition int32) (kadm.ListedOffset, error) {
	ctx, cancel := timed()
	defer cancel()
	listed, err := k.admin.ListEndOffsets(ctx, topic)
	return one(listed, err, topic, partition)
}

// expectBounds compares log start offset and high watermark.
func (k *kafka) expectBounds(topic string, partition int32, start, end int64) error {
	first, err := k.start(topic, partition)
	if err != nil {
		return err
	}
	last, err := k.end(topic, partition)
	if err != nil {
		return err
	}
	return equal([]int64{first.Offset, last.Offset}, []int64{start, end}, fmt.Sprint("bounds of partition ", partition))
}

func (k *kafka) writeNumbers(topic string, count int, options ...kgo.Opt) error {
	records := make([]*kgo.Record, count)
	for i := range records {
		records[i] = &kgo.Record{Topic: topic, Value: []byte(strconv.Itoa(i))}
	}
	return k.produce(records, options...)
}

func offsetBounds(k *kafka) error {
	topic := "offset-bounds"
	return all(
		func() error { return k.create(topic, 2, nil) },
		func() error { return k.writeNumbers(topic, 15) },
		func() error { return k.expectBounds(topic, 0, 0, 15) },
		func() error { return k.expectBounds(topic, 1, 0, 0) },
	)
}

func offsetByTimestamp(k *kafka) error {
	topic, start := "offset-by-timestamp", time.Now().Add(-100*time.Second).UnixMilli()
	if err := k.create(topic, 1, nil); err != nil {
		return err
	}
	records := make([]*kgo.Record, 10)
	for i := range records {
		records[i] = &kgo.Record{Topic: topic, Value: []byte("v"), Timestamp: time.UnixMilli(start + int64(1000*i))}
	}
	// Batches of one and of several records.
	for _, batch := range [][]*kgo.Record{records[:1], records[1:7], records[7:]} {
		if err := k.produce(batch, kgo.ProducerBatchCompression(kgo.ZstdCompression())); err != nil {
			return err
		}
	}
	ctx, cancel := timed()
	defer cancel()
	cases := []struct{ after, offset, time int64 }{
		{-50_000, 0, 0}, {0, 0, 0}, {1, 1, 1000}, {2500, 3, 3000}, {9000, 9, 9000},
	}
	for _, c := range cases {
		listed, err := k.admin.ListOffsetsAfterMilli(ctx, start+c.after, topic)
		found, err := one(listed, err, topic, 0)
		if err != nil {
			return err
		}
		what := fmt.Sprintf("offset and time for start + %d ms", c.after)
		if err := equal([]int64{found.Offset, found.Timestamp - start}, []int64{c.offset, c.time}, what); err != nil {
			return err
		}
	}
	listed, err := k.admin.ListOffsetsAfterMilli(ctx, start+9001, topic)
	found, err := one(listed, err, topic, 0)
	if err != nil {
		return err
	}
	// kadm puts the end in the place of "none".
	return equal(found.Offset, 10, "offset for a time after the last record")
}

func offsetMaxTimestamp(k *kafka) error {
	topic, start := "offset-max-timestamp", time.Now().Add(-100*time.Second).UnixMilli()
	if err := k.create(topic, 1, nil); err != nil {
		return err
	}
	ctx, cancel := timed()
	defer cancel()
	listed, err := k.admin.ListMaxTimestampOffsets(ctx, topic)
	found, err := one(listed, err, topic, 0)
	if err != nil {
		return err
	}
	if err := equal([]int64{found.Offset, found.Timestamp}, []int64{-1, -1}, "of an empty log"); err != nil {
		return err
	}
	for _, after := range []int64{0, 9000, 4000, 9000, 1000} {
		at := time.UnixMilli(start + after)
		if err := k.produce([]*kgo.Record{{Topic: topic, Value: []byte("v"), Timestamp: at}}); err != nil {
			return err
		}
	}
	// Within one batch it is the record, not the batch, that is found.
	batch := []*kgo.Record{{Timestamp: time.UnixMilli(start)}, {Timestamp: time.UnixMilli(start + 20_000)}, {Timestamp: time.UnixMilli(start)}}
	expected := [][]int64{{1, 9000}, {6, 20_000}}
	for i, want := range expected {
		listed, err := k.admin.ListMaxTimestampOffsets(ctx, topic)
		found, err := one(listed, err, topic, 0)
		if err != nil {
			return err
		}
		if err := equal([]int64{found.Offset, found.Timestamp - start}, want, "offset and time"); err != nil {
			return err
		}
		if i == 0 {
			for _, r := range batch {
				r.Topic, r.Value = topic, []byte("v")
			}
			if err := k.produce(batch, kgo.ProducerLinger(50*time.Millisecond)); err != nil {
				return err
			}
		}
	}
	return nil
}

func offsetSpecials(k *kafka) error {
	topic := "offset-specials"
	if err := all(
		func() error { return k.create(topic, 1, nil) },
		func() error { return k.writeNumbers(topic, 10) },
		func() error { return k.deleteRecords(topic, 4) },
	); err != nil {
		return err
	}
	ctx, cancel := timed()
	defer cancel()
	listed, err := k.admin.ListLocalLogStartOffsets(ctx, topic)
	local, err := one(listed, err, topic, 0)
	if err != nil {
		return err
	}
	if err := equal(local.Offset, 4, "local log start"); err != nil {
		return err
	}
	listed, err = k.admin.ListLatestRemoteOffsets(ctx, topic)
	remote, err := one(listed, err, topic, 0)
	if err != nil {
		return err
	}
	return equal(remote.Offset, -1, "latest remote offset")
}

func fetchFromOffset(k *kafka) error {
	topic := "fetch-from-offset"
	if err := k.create(topic, 1, nil); err != nil {
		return err
	}
	// All in one compressed batch: it is sent whole and the client skips what is before the offset.
	err := k.writeNumbers(topic, 100, kgo.ProducerLinger(50*time.Millisecond), kgo.ProducerBatchCompression(kgo.GzipCompression()))
	if err != nil {
		return err
	}
	for _, from := range []struct {
		offset kgo.Offset
		first  int64
	}{{kgo.NewOffset().At(57), 57}, {kgo.NewOffset().AtEnd().Relative(-5), 95}, {kgo.NewOffset().AtStart(), 0}} {
		read, err := k.read(topic, from.offset, []int32{0})
		if err != nil {
			return err
		}
		if err := equal([]int64{read[0].Offset, int64(len(read))}, []int64{from.first, 100 - from.first}, "first offset and count"); err != nil {
			return err
		}
	}
	return nil
}

func offsetOutOfRange(k *kafka) error {
	topic := "offset-out-of-range"
	if err := all(
		func() error { return k.create(topic, 1, nil) },
		func() error { return k.writeNumbers(topic, 10) },
	); err != nil {
		return err
	}
	client, err := k.client(kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.ConsumePartitions(
		map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(100)}}))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := timed()
	defer cancel()
	err = client.PollFetches(ctx).Err()
	if !errors.Is(err, kerr.OffsetOutOfRange) {
		return fmt.Errorf("expected OFFSET_OUT_OF_RANGE, saw: %v", err)
	}
	return nil
}

func leaderEpoch(k *kafka) error {
	topic := "leader-epoch"
	if err := all(
		func() error { return k.create(topic, 1, nil) },
		func() error { return k.writeNumbers(topic, 25) },
	); err != nil {
		return err
	}
	ctx, cancel := timed()
	defer cancel()
	topics, err := k.admin.ListTopics(ctx, topic)
	if err != nil {
		return err
	}
	epoch := topics[topic].Partitions[0].LeaderEpoch
	var request kadm.OffsetForLeaderEpochRequest
	request.Add(topic, 0, epoch)
	answer, err := k.admin.OffsetForLeaderEpoch(ctx, request)
	if err != nil {
		return err
	}
	got := answer[topic][0]
	if got.Err != nil {
		return got.Err
	}
	if err := equal([]int64{int64(got.LeaderEpoch), got.EndOffset}, []int64{int64(epoch), 25}, "epoch and end offset"); err != nil {
		return err
	}
	read, err := k.readAll(topic)
	if err != nil {
		return err
	}
	return equal(read[24].LeaderEpoch, epoch, "leader epoch in the batch read")
}
