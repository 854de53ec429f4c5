package main

import (
	"bytes"
	"fmt"
	"math/rand"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

// codecs by the name that compression.type has for them.
var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// codecIDs as the batch's attributes have them.
var codecIDs = map[string]uint8{"none": 0, "uncompressed": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}

var readingAndWriting = map[string]scenario{
	"round-trip": roundTrip, "recompress": recompress, "headers": headers, "value-sizes": valueSizes,
	"codec-none": codec("none"), "codec-gzip": codec("gzip"), "codec-snappy": codec("snappy"),
	"codec-lz4": codec("lz4"), "codec-zstd": codec("zstd"),
	"timestamps": timestamps, "log-append-time": logAppendTime,
	"idempotent": withSettings("idempotent"),
	"acks-0":     withSettings("acks-0", kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite()),
	"acks-1":     withSettings("acks-1", kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite()),
	"acks-all":   withSettings("acks-all", kgo.RequiredAcks(kgo.AllISRAcks()), kgo.DisableIdempotentWrite()),
	"bulk":       bulk, "long-poll": longPoll, "older-protocols": olderProtocols,
	"record-too-large": recordTooLarge, "keyless-compacted": keylessCompacted,
	"auto-create": autoCreate, "unknown-topic": unknownTopic,
}

// sameRecords compares what the producer chose: keys, values, headers and, where set, timestamps in milliseconds.
func sameRecords(read, written []*kgo.Record) error {
	if len(read) != len(written) {
		return fmt.Errorf("%d of %d records came back", len(read), len(written))
	}
	for i, w := range written {
		r := read[i]
		same := bytes.Equal(r.Key, w.Key) && bytes.Equal(r.Value, w.Value) && (r.Key == nil) == (w.Key == nil) &&
			(r.Value == nil) == (w.Value == nil) && len(r.Headers) == len(w.Headers)
		for h := range w.Headers {
			same = same && r.Headers[h].Key == w.Headers[h].Key &&
				bytes.Equal(r.Headers[h].Value, w.Headers[h].Value) &&
				(r.Headers[h].Value == nil) == (w.Headers[h].Value == nil)
		}
		if !same {
			return fmt.Errorf("record %d came back as %s, but was %s", i, short(*r), short(*w))
		}
	}
	return nil
}

func (k *kafka) writeAndReadBack(topic string, records []*kgo.Record, options ...kgo.Opt) error {
	if err := k.produce(records, options...); err != nil {
		return err
	}
	read, err := k.readAll(topic)
	if err != nil {
		return err
	}
	return sameRecords(read, records)
}

func roundTrip(k *kafka) error {
	topic := "round-trip"
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	records := []*kgo.Record{{Topic: topic, Key: every, Value: every}}
	for _, key := range [][]byte{[]byte("key"), {}, nil} {
		for _, value := range [][]byte{[]byte("value"), {}, nil} {
			records = append(records, &kgo.Record{Topic: topic, Key: key, Value: value})
		}
	}
	return all(
		func() error { return k.create(topic, 1, nil) },
		func() error { return k.writeAndReadBack(topic, records) },
		func() error { return equal(records[9].Offset, 9, "offset answered") },
	)
}

// sample is records of which some compress well and some do not.
func sample(topic string, count int) []*kgo.Record {
	chance := rand.New(rand.NewSource(int64(count)))
	records := make([]*kgo.Record, count)
	for i := range records {
		value := bytes.Repeat([]byte("the same again "), i%40)
		if i%2 == 1 {
			value = make([]byte, chance.Intn(300))
			chance.Read(value)
		}
		records[i] = &kgo.Record{Topic: topic, Value: value}
		if i%3 > 0 {
			records[i].Key = []byte(strconv.Itoa(i))
		}
		if i%5 == 0 {
			records[i].Headers = []kgo.RecordHeader{{Key: "n", Value: []byte(strconv.Itoa(i))}}
		}
	}
	return records
}

func codec(name string) scenario {
	return func(k *kafka) error {
		topic := "codec-" + name
		if err := k.create(topic, 1, nil); err != nil {
			return err
		}
		records := sample(topic, 4000)
		if err := k.writeAndReadBack(topic, records, kgo.ProducerBatchCompression(codecs[name])); err != nil {
			return err
		}
		read, err := k.readAll(topic)
		if err != nil {
			return err
		}
		return equal(read[0].Attrs.CompressionType(), codecIDs[name], "codec of the batch read")
	}
}

func recompress(k *kafka) error {
	for _, stored := range []string{"uncompressed", "gzip", "snappy", "lz4", "zstd"} {
		topic := "recompress-" + stored
		if err := k.create(topic, 1, map[string]string{"compression.type": stored}); err != nil {
			return err
		}
		var written []*kgo.Record
		for _, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
			records := sample(topic, 300)
			if err := k.produce(records, kgo.ProducerBatchCompression(codecs[name])); err != nil {
				return fmt.Errorf("%s into %s: %w", name, stored, err)
			}
			written = append(written, records...)
		}
		read, err := k.readAll(topic)
		if err != nil {
			return err
		}
		if err := sameRecords(read, written); err != nil {
			return fmt.Errorf("stored as %s: %w", stored, err)
		}
		for _, r := range read {
			if err := equal(r.Attrs.CompressionType(), codecIDs[stored], "codec stored"); err != nil {
				return err
			}
		}
	}
	return nil
}

func headers(k *kafka) error {
	topic := "headers"
	h := func(key string, value []byte) kgo.RecordHeader { return kgo.RecordHeader{Key: key, Value: value} }
	many := make([]kgo.RecordHeader, 500)
	for i := range many {
		many[i] = h(fmt.Sprint("h", i), []byte{byte(i)})
	}
	records := []*kgo.Record{
		{Headers: []kgo.RecordHeader{h("a", []byte("1")), h("b", []byte{}), h("a", []byte("2")), h("null", nil), h("a", []byte("1"))}},
		{Headers: []kgo.RecordHeader{h("", []byte("no name")), h("ü", []byte{0, 255})}},
		{Headers: many},
		{Value: []byte("none")},
	}
	for _, r := range records {
		r.Topic = topic
	}
	return all(
		func() error { return k.create(topic, 1, nil) },
		func() error { return k.writeAndReadBack(topic, records) },
	)
}

func valueSizes(k *kafka) error {
	topic, most := "value-sizes", 11_000_000
	chance := rand.New(rand.NewSource(7))
	var records []*kgo.Record
	for _, size := range []int{1, 10, 1000, 16_384, 100_000, 1_048_588, 5_000_000, 10_000_000} {
		value := make([]byte, size)
		chance.Read(value)
		records = append(records, &kgo.Record{Topic: topic, Value: value})
	}
	if err := k.create(topic, 1, map[string]string{"max.message.bytes": strconv.Itoa(most)}); err != nil {
		return err
	}
	if err := k.writeAndReadBack(topic, records, kgo.ProducerBatchMaxBytes(int32(most))); err != nil {
		return err
	}
	// A fetch limit below the record still gets it: the first batch is always returned.
	read, err := k.readAll(topic, kgo.FetchMaxPartitionBytes(1000))
	if err != nil {
		return err
	}
	return sameRecords(read, records)
}

func timestamps(k *kafka) error {
	topic, now := "timestamps", time.Now().Truncate(time.Millisecond)
	var records []*kgo.Record
	for _, after := range []time.Duration{0, -5 * time.Second, -5 * time.Second, -24 * time.Hour, time.Minute} {
		records = append(records, &kgo.Record{Topic: topic, Value: []byte("v"), Timestamp: now.Add(after)})
	}
	if err := k.create(topic, 1, nil); err != nil {
		return err
	}
	if err := k.writeAndReadBack(topic, records); err != nil {
		return err
	}
	read, err := k.readAll(topic)
	if err != nil {
		return err
	}
	for i, r := range read {
		if !r.Timestamp.Equal(records[i].Timestamp) || r.Attrs.TimestampType() != 0 {
			return fmt.Errorf("record %d has time %v of type %d, not %v", i, r.Timestamp, r.Attrs.TimestampType(), records[i].Timestamp)
		}
	}
	return nil
}

func logAppendTime(k *kafka) error {
	topic := "log-append-time"
	if err := k.create(topic, 1, map[string]string{"message.timestamp.type": "LogAppendTime"}); err != nil {
		return err
	}
	for name, compression := range codecs {
		before := time.Now().Truncate(time.Millisecond)
		records := []*kgo.Record{{Topic: topic, Value: []byte(name), Timestamp: time.UnixMilli(1000)}}
		if err := k.produce(records, kgo.ProducerBatchCompression(compression)); err != nil {
			return err
		}
		read, err := k.read(topic, kgo.NewOffset().At(records[0].Offset), []int32{0})
		if err != nil {
			return err
		}
		at := read[0].Timestamp
		if at.Before(before) || at.After(time.Now()) || read[0].Attrs.TimestampType() != 1 {
			return fmt.Errorf("%s: append time %v of type %d, produced after %v", name, at, read[0].Attrs.TimestampType(), before)
		}
	}
	return nil
}

func withSettings(topic string, options ...kgo.Opt) scenario {
	return func(k *kafka) error {
		if err := k.create(topic, 3, nil); err != nil {
			return err
		}
		records := make([]*kgo.Record, 3000)
		for i := range records {
			records[i] = &kgo.Record{Topic: topic, Partition: int32(i % 3), Value: []byte(strconv.Itoa(i))}
		}
		if err := k.produce(records, options...); err != nil {
			return err
		}
		for partition := range int32(3) {
			var expected []*kgo.Record
			for i := partition; i < 3000; i += 3 {
				expected = append(expected, records[i])
			}
			// With acks=0 nobody was told when they are written.
			err := eventually(func() error {
				read, err := k.read(topic, kgo.NewOffset().AtStart(), []int32{partition})
				if err != nil {
					return err
				}
				return sameRecords(read, expected)
			})
			if err != nil {
				return fmt.Errorf("partition %d: %w", partition, err)
			}
		}
		return nil
	}
}

func bulk(k *kafka) error {
	const count, partitions = 100_000, 12
	if err := k.create("bulk", partitions, nil); err != nil {
		return err
	}
	records := make([]*kgo.Record, count)
	for i := range records {
		records[i] = &kgo.Record{Topic: "bulk", Key: []byte(strconv.Itoa(i % 1013)), Value: []byte(strconv.Itoa(i))}
	}
	if err := k.produce(records, kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil))); err != nil {
		return err
	}
	read, err := k.read("bulk", kgo.NewOffset().AtStart(), upTo(partitions))
	if err != nil {
		return err
	}
	if len(read) != count {
		return fmt.Errorf("%d of %d records came back", len(read), count)
	}
	var next [partitions]int64
	last := [partitions]int{-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1}
	for _, r := range read {
		number, err := strconv.Atoi(string(r.Value))
		if err != nil {
			return err
		}
		if r.Offset != next[r.Partition] || number <= last[r.Partition] {
			return fmt.Errorf("partition %d: offset %d with %d after offset %d with %d", r.Partition, r.Offset, number,
				next[r.Partition]-1, last[r.Partition])
		}
		if w := records[number]; w.Partition != r.Partition || w.Offset != r.Offset {
			return fmt.Errorf("%d was answered with %d at %d but is in %d at %d", number, w.Partition, w.Offset, r.Partition, r.Offset)
		}
		next[r.Partition], last[r.Partition] = r.Offset+1, number
	}
	return nil
}

func longPoll(k *kafka) error {
	topic := "long-poll"
	if err := k.create(topic, 1, nil); err != nil {
		return err
	}
	// A wait far beyond the time the record takes: only an answer at its arrival is in time.
	client, err := k.client(kgo.FetchMaxWait(20*time.Second), kgo.ConsumePartitions(
		map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(0)}}))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := timed()
	defer cancel()
	for _, text := range []string{"first", "second", "third"} {
		if err := k.produce([]*kgo.Record{{Topic: topic, Value: []byte(text)}}); err != nil {
			return err
		}
		produced := time.Now()
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		if late := time.Since(produced); late > 5*time.Second {
			return fmt.Errorf("%q arrives %v after it was produced", text, late)
		}
		if err := equal(string(fetches.Records()[0].Value), text, "the record that arrives"); err != nil {
			return err
		}
	}
	return nil
}

func olderProtocols(k *kafka) error {
	versions := map[string]*kversion.Versions{
		"0.11": kversion.V0_11_0(), "1.0": kversion.V1_0_0(), "2.0": kversion.V2_0_0(), "2.1": kversion.V2_1_0(),
		"2.3": kversion.V2_3_0(), "2.4": kversion.V2_4_0(), "2.5": kversion.V2_5_0(), "2.8": kversion.V2_8_0(),
		"3.0": kversion.V3_0_0(), "3.5": kversion.V3_5_0(), "3.7": kversion.V3_7_0(), "3.9": kversion.V3_9_0(),
	}
	for name, version := range versions {
		topic := "older-protocols-" + name
		if err := k.create(topic, 1, nil); err != nil {
			return err
		}
		records := sample(topic, 200)
		if err := k.produce(records, kgo.MaxVersions(version)); err != nil {
			return fmt.Errorf("produce as %s: %w", name, err)
		}
		read, err := k.readAll(topic, kgo.MaxVersions(version))
		if err != nil {
			return fmt.Errorf("fetch as %s: %w", name, err)
		}
		if err := sameRecords(read, records); err != nil {
			return fmt.Errorf("as %s: %w", name, err)
		}
	}
	return nil
}

func recordTooLarge(k *kafka) error {
	topic := "record-too-large"
	if err := k.create(topic, 1, map[string]string{"max.message.bytes": "2000"}); err != nil {
		return err
	}
	big := []*kgo.Record{{Topic: topic, Value: bytes.Repeat([]byte("x"), 3000)}}
	uncompressed := kgo.ProducerBatchCompression(kgo.NoCompression())
	if err := refused("3,000 bytes", kerr.MessageTooLarge, k.produce(big, uncompressed)); err != nil {
		return err
	}
	return k.writeAndReadBack(topic, []*kgo.Record{{Topic: topic, Value: []byte("small")}})
}

func keylessCompacted(k *kafka) error {
	topic := "keyless-compacted"
	if err := k.create(topic, 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
		return err
	}
	keyless := []*kgo.Record{{Topic: topic, Value: []byte("v")}}
	if err := refused("no key", kerr.InvalidRecord, k.produce(keyless)); err != nil {
		return err
	}
	return k.writeAndReadBack(topic, []*kgo.Record{{Topic: topic, Key: []byte("k"), Value: []byte("v")}})
}

func autoCreate(k *kafka) error {
	records := []*kgo.Record{{Topic: "auto-create", Value: []byte("v")}}
	if err := k.produce(records, kgo.AllowAutoTopicCreation()); err != nil {
		return err
	}
	ctx, cancel := timed()
	defer cancel()
	topics, err := k.admin.ListTopics(ctx, "auto-create")
	if err != nil {
		return err
	}
	return equal(len(topics["auto-create"].Partitions), 12, "partitions")
}

func unknownTopic(k *kafka) error {
	err := k.produce([]*kgo.Record{{Topic: "nowhere", Value: []byte("v")}}, kgo.UnknownTopicRetries(1))
	if err := refused("producing without auto creation", kerr.UnknownTopicOrPartition, err); err != nil {
		return err
	}
	ctx, cancel := timed()
	defer cancel()
	found, err := k.admin.ListTopics(ctx, "nowhere")
	if err != nil {
		return err
	}
	if err := refused("describing it", kerr.UnknownTopicOrPartition, found["nowhere"].Err); err != nil {
		return err
	}
	topics, err := k.admin.ListTopics(ctx)
	if err != nil {
		return err
	}
	return equal(topics.Has("nowhere"), false, "it was created")
}
