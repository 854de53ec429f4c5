package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

const limit = 40 * time.Second

// asked is an operation of interop/src/hands.rs with all its fields.
type asked struct {
	Op         string
	Topic      string
	Type       string
	Name       string
	Group      string
	Partition  int32
	Partitions any
	Replicas   int16
	Configs    map[string]*string
	Changes    map[string]*string
	Count      int32
	Before     int64
	From       int64
	At         any
	Bootstrap  string
	Acks       string
	Codec      string
	Idempotent bool
	MaxBytes   int `json:"max_bytes"`
	Records    []record
	Offsets    [][2]int64
	Metadata   string
}

type record struct {
	Partition int32    `json:"partition"`
	Offset    int64    `json:"offset"`
	Timestamp *int64   `json:"timestamp"`
	Key       *[]byte  `json:"key"`
	Value     *[]byte  `json:"value"`
	Headers   [][2]any `json:"headers"`
}

// list is the partitions of an operation that names them.
func (a *asked) list() []int32 {
	var partitions []int32
	for _, p := range a.Partitions.([]any) {
		partitions = append(partitions, int32(p.(float64)))
	}
	return partitions
}

// count is the partitions of an operation that says how many.
func (a *asked) count() int32 { return int32(a.Partitions.(float64)) }

type hands struct {
	bootstrap string
	client    sarama.Client
	admin     sarama.ClusterAdmin
}

func config() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V4_0_0_0
	c.Metadata.Retry.Max = 20
	c.Consumer.Return.Errors = true
	c.Consumer.MaxWaitTime = 50 * time.Millisecond
	c.Consumer.Fetch.Default = 4 << 20
	c.Consumer.Offsets.AutoCommit.Enable = false
	return c
}

// connect makes a client and an admin client, anew after a broker's restart has closed the old.
func (h *hands) connect() error {
	if h.client != nil && !h.client.Closed() {
		return nil
	}
	client, err := sarama.NewClient(strings.Split(h.bootstrap, ","), config())
	if err != nil {
		return err
	}
	h.client = client
	h.admin, err = sarama.NewClusterAdminFromClient(client)
	return err
}

var operations = map[string]func(*hands, *asked) (any, error){
	"create": create, "delete": remove, "topics": topics, "describe": describe, "add_partitions": addPartitions,
	"delete_records": deleteRecords, "configs": configs, "alter_configs": alterConfigs, "cluster": cluster,
	"produce": produce, "read": read, "offsets": offsets, "commit": commit, "committed": committed, "groups": groups,
	"describe_group": describeGroup, "delete_group": deleteGroup, "delete_group_offsets": deleteGroupOffsets,
}

func create(h *hands, a *asked) (any, error) {
	if err := h.connect(); err != nil {
		return nil, err
	}
	detail := &sarama.TopicDetail{NumPartitions: a.count(), ReplicationFactor: a.Replicas, ConfigEntries: a.Configs}
	return nil, h.admin.CreateTopic(a.Topic, detail, false)
}

func remove(h *hands, a *asked) (any, error) { return nil, h.admin.DeleteTopic(a.Topic) }

func topics(h *hands, _ *asked) (any, error) {
	if err := h.connect(); err != nil {
		return nil, err
	}
	found, err := h.admin.ListTopics()
	names := []string{}
	for name := range found {
		names = append(names, name)
	}
	return names, err
}

func describe(h *hands, a *asked) (any, error) {
	if err := h.connect(); err != nil {
		return nil, err
	}
	found, err := h.admin.DescribeTopics([]string{a.Topic})
	if err != nil {
		return nil, err
	}
	if found[0].Err != sarama.ErrNoError {
		return nil, found[0].Err
	}
	partitions := []any{}
	for _, p := range found[0].Partitions {
		partitions = append(partitions, map[string]any{"id": p.ID, "leader": p.Leader, "replicas": p.Replicas, "isr": p.Isr})
	}
	return partitions, nil
}

func addPartitions(h *hands, a *asked) (any, error) {
	return nil, h.admin.CreatePartitions(a.Topic, a.Count, nil, false)
}

func deleteRecords(h *hands, a *asked) (any, error) {
	// Its errors are texts without a code; this is the request that it would send.
	leader, err := h.client.Leader(a.Topic, a.Partition)
	if err != nil {
		return nil, err
	}
	request := &sarama.DeleteRecordsRequest{Timeout: limit, Version: 1, Topics: map[string]*sarama.DeleteRecordsRequestTopic{
		a.Topic: {PartitionOffsets: map[int32]int64{a.Partition: a.Before}},
	}}
	answer, err := leader.DeleteRecords(request)
	if err != nil {
		return nil, err
	}
	partition := answer.Topics[a.Topic].Partitions[a.Partition]
	if partition.Err != sarama.ErrNoError {
		return nil, partition.Err
	}
	return partition.LowWatermark, nil
}

func (a *asked) resource() sarama.ConfigResourceType {
	if a.Type == "broker" {
		return sarama.BrokerResource
	}
	return sarama.TopicResource
}

func configs(h *hands, a *asked) (any, error) {
	if err := h.connect(); err != nil {
		return nil, err
	}
	found, err := h.admin.DescribeConfig(sarama.ConfigResource{Type: a.resource(), Name: a.Name})
	if err != nil {
		return nil, err
	}
	values := map[string]any{}
	for _, entry := range found {
		values[entry.Name] = entry.Value
		// What is null is an empty text to sarama.
		if entry.Value == "" {
			values[entry.Name] = nil
		}
	}
	return values, nil
}

func alterConfigs(h *hands, a *asked) (any, error) {
	entries := map[string]sarama.IncrementalAlterConfigsEntry{}
	for key, value := range a.Changes {
		entries[key] = sarama.IncrementalAlterConfigsEntry{Operation: sarama.IncrementalAlterConfigsOperationSet, Value: value}
		if value == nil {
			entries[key] = sarama.IncrementalAlterConfigsEntry{Operation: sarama.IncrementalAlterConfigsOperationDelete}
		}
	}
	return nil, h.admin.IncrementalAlterConfig(a.resource(), a.Name, entries, false)
}

func cluster(h *hands, _ *asked) (any, error) {
	if err := h.connect(); err != nil {
		return nil, err
	}
	found, controller, err := h.admin.DescribeCluster()
	brokers := []string{}
	for _, b := range found {
		brokers = append(brokers, fmt.Sprintf("%d@%s", b.ID(), b.Addr()))
	}
	return map[string]any{"brokers": brokers, "controller": controller}, err
}

func offsets(h *hands, a *asked) (any, error) {
	if err := h.connect(); err != nil {
		return nil, err
	}
	at := sarama.OffsetNewest
	if a.At == "earliest" {
		at = sarama.OffsetOldest
	} else if time, is := a.At.(float64); is {
		at = int64(time)
	}
	found := []any{}
	for _, partition := range a.list() {
		if err := h.client.RefreshMetadata(a.Topic); err != nil {
			return nil, err
		}
		offset, err := h.client.GetOffset(a.Topic, partition, at)
		if err != nil {
			return nil, err
		}
		if offset < 0 {
			found = append(found, nil)
		} else {
			found = append(found, offset)
		}
	}
	return found, nil
}

func upTo(n int32) []int32 {
	numbers := slices.Repeat([]int32{0}, int(n))
	for i := range numbers {
		numbers[i] = int32(i)
	}
	return numbers
}
