package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const limit = 30 * time.Second

// kafka is the broker under test, and what one step of a scenario leaves for the next.
type kafka struct {
	bootstrap string
	// How many brokers there are. Topics get as many replicas.
	brokers    int
	admin      *kadm.Client
	remembered any
}

func connect(bootstrap string) (*kafka, error) {
	brokers, err := strconv.Atoi(os.Getenv("INTEROP_BROKERS"))
	if err != nil {
		return nil, fmt.Errorf("INTEROP_BROKERS: %w", err)
	}
	k := &kafka{bootstrap: bootstrap, brokers: brokers}
	client, err := k.client()
	if err != nil {
		return nil, err
	}
	k.admin = kadm.NewClient(client)
	return k, nil
}

// client is a new client with the options that scenarios share. Its background work is logged to standard error.
func (k *kafka) client(options ...kgo.Opt) (*kgo.Client, error) {
	shared := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(k.bootstrap, ",")...),
		kgo.WithLogger(kgo.BasicLogger(os.Stderr, kgo.LogLevelWarn, nil)),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.FetchMaxWait(50 * time.Millisecond),
		kgo.MetadataMinAge(50 * time.Millisecond),
	}
	return kgo.NewClient(append(shared, options...)...)
}

func timed() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), limit)
}

// create returns when every partition has a leader that answers: Kafka answers the creation before its brokers act on it.
func (k *kafka) create(topic string, partitions int32, configs map[string]string) error {
	ctx, cancel := timed()
	defer cancel()
	values := map[string]*string{}
	for key, value := range configs {
		values[key] = &value
	}
	if _, err := k.admin.CreateTopic(ctx, partitions, int16(k.brokers), values, topic); err != nil {
		return err
	}
	return eventually(func() error {
		listed, err := k.admin.ListStartOffsets(ctx, topic)
		if err != nil {
			return err
		}
		for partition := range partitions {
			if _, err := one(listed, nil, topic, partition); err != nil {
				return err
			}
		}
		return nil
	})
}

// produce writes the records, in order, and waits for all answers; the records then carry their offsets.
func (k *kafka) produce(records []*kgo.Record, options ...kgo.Opt) error {
	client, err := k.client(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := timed()
	defer cancel()
	return client.ProduceSync(ctx, records...).FirstErr()
}

// read gives everything of the partitions from the offset to the high watermark of this moment.
func (k *kafka) read(topic string, from kgo.Offset, partitions []int32, options ...kgo.Opt) ([]*kgo.Record, error) {
	ctx, cancel := timed()
	defer cancel()
	ends, err := k.admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	assigned, left := map[int32]kgo.Offset{}, map[int32]int64{}
	for _, partition := range partitions {
		end, _ := ends.Lookup(topic, partition)
		if end.Err != nil {
			return nil, end.Err
		}
		assigned[partition] = from
		if end.Offset > 0 {
			left[partition] = end.Offset
		}
	}
	assign := kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: assigned})
	client, err := k.client(append(options, assign)...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var records []*kgo.Record
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return records, fmt.Errorf("%d records of %s, then: %w", len(records), topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			records = append(records, r)
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return records, nil
}

// readAll gives partition 0 from its beginning.
func (k *kafka) readAll(topic string, options ...kgo.Opt) ([]*kgo.Record, error) {
	return k.read(topic, kgo.NewOffset().AtStart(), []int32{0}, options...)
}

func equal[T any](seen, expected T, what string) error {
	if reflect.DeepEqual(seen, expected) {
		return nil
	}
	return fmt.Errorf("%s: expected %s, saw %s", what, short(expected), short(seen))
}

func short(value any) string {
	text := fmt.Sprintf("%+v", value)
	if len(text) > 400 {
		return fmt.Sprintf("%s... (%d characters)", text[:400], len(text))
	}
	return text
}

// refused expects the Kafka error.
func refused(what string, expected *kerr.Error, seen error) error {
	if seen == nil {
		return fmt.Errorf("%s: expected %s, but it succeeded", what, expected.Message)
	}
	if !errors.Is(seen, expected) {
		return fmt.Errorf("%s: expected %s, saw: %w", what, expected.Message, seen)
	}
	return nil
}

// all runs steps until one fails.
func all(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// eventually waits until the check holds; what it last said is the error.
func eventually(check func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func upTo(n int32) []int32 {
	numbers := make([]int32, n)
	for i := range numbers {
		numbers[i] = int32(i)
	}
	return numbers
}

func sorted(texts []string) []string {
	sort.Strings(texts)
	return texts
}
