package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// asked is an operation of interop/src/hands.rs, of those that scenarios about groups need.
type asked struct {
	Op         string
	Topic      string
	Group      string
	Partition  int32
	Partitions any
	From       int64
	Bootstrap  string
	Idempotent bool
	Records    []record
	Offsets    [][2]int64
	Metadata   string
}

type record struct {
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Timestamp int64  `json:"timestamp"`
	Key       []byte `json:"key"`
	Value     []byte `json:"value"`
}

var operations = map[string]func(*kafka, *asked) (any, error){
	"create":  func(k *kafka, a *asked) (any, error) { return nil, k.create(a.Topic, a.count(), nil) },
	"produce": produceAsked, "read": readAsked, "offsets": endsAsked, "commit": commitAsked, "committed": committedAsked,
	"groups": groupsAsked, "describe_group": describeGroupAsked, "delete_group": deleteGroupAsked,
	"delete_group_offsets": deleteGroupOffsetsAsked, "alter_group_offsets": alterGroupOffsetsAsked,
}

func (a *asked) count() int32 { return int32(a.Partitions.(float64)) }

func (a *asked) list() []int32 {
	var partitions []int32
	for _, p := range a.Partitions.([]any) {
		partitions = append(partitions, int32(p.(float64)))
	}
	return partitions
}

// carryOut answers an operation, a line of JSON, with a line of JSON.
func carryOut(k *kafka, line []byte) string {
	var asked asked
	var result any
	err := json.Unmarshal(line, &asked)
	if err == nil {
		operation, found := operations[asked.Op]
		if !found {
			return "{}"
		}
		result, err = operation(k, &asked)
	}
	answer := map[string]any{"ok": result}
	if err != nil {
		fmt.Fprintln(os.Stderr, asked.Op, err)
		answer = map[string]any{"failed": strings.Join(strings.Fields(err.Error()), " ")}
		var code *kerr.Error
		if errors.As(err, &code) {
			answer["refused"] = code.Code
		}
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return `{"failed": "the result is no JSON"}`
	}
	return string(text)
}

// produceAsked knows the settings that scenarios about groups and cut connections have: the others are as here.
func produceAsked(k *kafka, a *asked) (any, error) {
	records := make([]*kgo.Record, len(a.Records))
	for i, r := range a.Records {
		records[i] = &kgo.Record{Topic: a.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value}
	}
	options := []kgo.Opt{kgo.SeedBrokers(strings.Split(a.Bootstrap, ",")...), kgo.ProducerBatchCompression(kgo.NoCompression())}
	if !a.Idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	if err := k.produce(records, options...); err != nil {
		return nil, err
	}
	places := make([][2]int64, len(records))
	for i, r := range records {
		places[i] = [2]int64{int64(r.Partition), r.Offset}
	}
	return places, nil
}

func readAsked(k *kafka, a *asked) (any, error) {
	read, err := k.read(a.Topic, kgo.NewOffset().At(a.From), []int32{a.Partition})
	records := []record{}
	for _, r := range read {
		records = append(records, record{r.Partition, r.Offset, r.Timestamp.UnixMilli(), r.Key, r.Value})
	}
	return records, err
}

func endsAsked(k *kafka, a *asked) (any, error) {
	ends := []int64{}
	for _, partition := range a.list() {
		end, err := k.end(a.Topic, partition)
		if err != nil {
			return nil, err
		}
		ends = append(ends, end.Offset)
	}
	return ends, nil
}

func (a *asked) positions() kadm.Offsets {
	positions := kadm.Offsets{}
	for _, offset := range a.Offsets {
		positions.Add(kadm.Offset{Topic: a.Topic, Partition: int32(offset[0]), At: offset[1], LeaderEpoch: -1, Metadata: a.Metadata})
	}
	return positions
}

func commitAsked(k *kafka, a *asked) (any, error) {
	ctx, cancel := timed()
	defer cancel()
	answer, err := k.admin.CommitOffsets(ctx, a.Group, a.positions())
	if err != nil {
		return nil, err
	}
	return nil, answer.Error()
}

func committedAsked(k *kafka, a *asked) (any, error) {
	ctx, cancel := timed()
	defer cancel()
	found, err := k.admin.FetchOffsets(ctx, a.Group)
	if err != nil {
		return nil, err
	}
	committed := [][3]any{}
	for partition := range a.count() {
		if position, there := found.Lookup(a.Topic, partition); there {
			if position.Err != nil {
				return nil, position.Err
			}
			committed = append(committed, [3]any{partition, position.At, position.Metadata})
		}
	}
	return committed, nil
}

func groupsAsked(k *kafka, _ *asked) (any, error) {
	ctx, cancel := timed()
	defer cancel()
	found, err := k.admin.ListGroups(ctx)
	groups := []any{}
	for _, g := range found.Sorted() {
		groups = append(groups, map[string]string{"group": g.Group, "protocol_type": g.ProtocolType, "state": g.State})
	}
	return groups, err
}

func describeGroupAsked(k *kafka, a *asked) (any, error) {
	ctx, cancel := timed()
	defer cancel()
	described, err := k.admin.DescribeGroups(ctx, a.Group)
	if err != nil {
		return nil, err
	}
	found := described[a.Group]
	if found.Err != nil {
		return nil, found.Err
	}
	members := []any{}
	for _, m := range found.Members {
		partitions := []int32{}
		if assigned, is := m.Assigned.AsConsumer(); is {
			for _, topic := range assigned.Topics {
				partitions = append(partitions, topic.Partitions...)
			}
		}
		members = append(members, map[string]any{"id": m.MemberID, "host": m.ClientHost, "partitions": partitions})
	}
	return map[string]any{"state": found.State, "protocol": found.Protocol, "members": members}, nil
}

func deleteGroupAsked(k *kafka, a *asked) (any, error) {
	ctx, cancel := timed()
	defer cancel()
	_, err := k.admin.DeleteGroup(ctx, a.Group)
	return nil, err
}

func deleteGroupOffsetsAsked(k *kafka, a *asked) (any, error) {
	ctx, cancel := timed()
	defer cancel()
	set := kadm.TopicsSet{}
	set.Add(a.Topic, a.list()...)
	answer, err := k.admin.DeleteOffsets(ctx, a.Group, set)
	if err != nil {
		return nil, err
	}
	return nil, answer.Error()
}

func alterGroupOffsetsAsked(k *kafka, a *asked) (any, error) {
	// An administrator commits as a consumer without membership does.
	return commitAsked(k, a)
}
