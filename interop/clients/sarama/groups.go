package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

func commit(h *hands, a *asked) (any, error) {
	if err := h.connect(); err != nil {
		return nil, err
	}
	manager, err := sarama.NewOffsetManagerFromClient(a.Group, h.client)
	if err != nil {
		return nil, err
	}
	var managed []sarama.PartitionOffsetManager
	for _, offset := range a.Offsets {
		partition, err := manager.ManagePartition(a.Topic, int32(offset[0]))
		if err != nil {
			return nil, err
		}
		managed = append(managed, partition)
		// Marking only goes forward, and resetting only back.
		partition.MarkOffset(offset[1], a.Metadata)
		partition.ResetOffset(offset[1], a.Metadata)
	}
	manager.Commit()
	for _, partition := range managed {
		select {
		case err := <-partition.Errors():
			return nil, err.Err
		default:
		}
	}
	return nil, manager.Close()
}

func committed(h *hands, a *asked) (any, error) {
	if err := h.connect(); err != nil {
		return nil, err
	}
	found, err := h.admin.ListConsumerGroupOffsets(a.Group, map[string][]int32{a.Topic: upTo(a.count())})
	if err != nil {
		return nil, err
	}
	if found.Err != sarama.ErrNoError {
		return nil, found.Err
	}
	places := [][3]any{}
	for partition, block := range found.Blocks[a.Topic] {
		if block.Err != sarama.ErrNoError {
			return nil, block.Err
		}
		places = append(places, [3]any{partition, block.Offset, block.Metadata})
	}
	slices.SortFunc(places, func(a, b [3]any) int { return int(a[0].(int32) - b[0].(int32)) })
	return places, nil
}

func groups(h *hands, _ *asked) (any, error) {
	found, err := h.admin.ListConsumerGroups()
	groups := []any{}
	for group, protocolType := range found {
		groups = append(groups, map[string]string{"group": group, "protocol_type": protocolType})
	}
	return groups, err
}

func describeGroup(h *hands, a *asked) (any, error) {
	found, err := h.admin.DescribeConsumerGroups([]string{a.Group})
	if err != nil {
		return nil, err
	}
	if found[0].Err != sarama.ErrNoError {
		return nil, found[0].Err
	}
	members := []any{}
	for id, m := range found[0].Members {
		assigned, err := m.GetMemberAssignment()
		if err != nil {
			return nil, err
		}
		partitions := []int32{}
		if assigned != nil {
			for _, some := range assigned.Topics {
				partitions = append(partitions, some...)
			}
		}
		members = append(members, map[string]any{"id": id, "host": m.ClientHost, "partitions": partitions})
	}
	return map[string]any{"state": found[0].State, "protocol": found[0].Protocol, "members": members}, nil
}

func deleteGroup(h *hands, a *asked) (any, error) { return nil, h.admin.DeleteConsumerGroup(a.Group) }

func deleteGroupOffsets(h *hands, a *asked) (any, error) {
	for _, partition := range a.list() {
		if err := h.admin.DeleteConsumerGroupOffset(a.Group, a.Topic, partition); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

type membership struct {
	Bootstrap      string
	Group          string
	Topic          string
	Cooperative    bool
	Instance       string
	SessionTimeout int `json:"session_timeout_ms"`
}

// member takes part in a group and tells what happens to it.
func member(description string) error {
	var wanted membership
	if err := json.Unmarshal([]byte(description), &wanted); err != nil {
		return err
	}
	if wanted.Cooperative {
		fmt.Println("not offered")
		return nil
	}
	c := config()
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Group.InstanceId = wanted.Instance
	c.Consumer.Group.Session.Timeout = time.Duration(wanted.SessionTimeout) * time.Millisecond
	c.Consumer.Group.Heartbeat.Interval = 300 * time.Millisecond
	c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyRange()}
	c.Consumer.Group.Rebalance.Retry.Backoff = 200 * time.Millisecond
	group, err := sarama.NewConsumerGroup(strings.Split(wanted.Bootstrap, ","), wanted.Group, c)
	if err != nil {
		return err
	}
	ctx, leave := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		leave()
	}()
	go func() {
		for err := range group.Errors() {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	for ctx.Err() == nil {
		if err := group.Consume(ctx, []string{wanted.Topic}, told{}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			time.Sleep(100 * time.Millisecond)
		}
	}
	if err := group.Close(); err != nil {
		return err
	}
	fmt.Println("left")
	return nil
}

// told is the group's handler.
type told struct{}

func say(word string, session sarama.ConsumerGroupSession) {
	var numbers []string
	for _, partitions := range session.Claims() {
		for _, p := range partitions {
			numbers = append(numbers, strconv.Itoa(int(p)))
		}
	}
	fmt.Printf("%s %s\n", word, strings.Join(numbers, ","))
}

func (told) Setup(session sarama.ConsumerGroupSession) error {
	say("assigned", session)
	return nil
}

func (told) Cleanup(session sarama.ConsumerGroupSession) error {
	say("revoked", session)
	return nil
}

func (told) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case m, open := <-claim.Messages():
			if !open {
				return nil
			}
			fmt.Printf("record %d %d %s\n", m.Partition, m.Offset, m.Value)
			session.MarkMessage(m, "")
			// What has arrived already is told before it is committed together.
			if len(claim.Messages()) == 0 {
				session.Commit()
			}
		case <-session.Context().Done():
			session.Commit()
			return nil
		}
	}
}
