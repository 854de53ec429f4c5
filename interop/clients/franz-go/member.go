package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type membership struct {
	Bootstrap      string
	Group          string
	Topic          string
	Cooperative    bool
	Instance       string
	SessionTimeout int `json:"session_timeout_ms"`
}

// member takes part in a group and tells what happens to it; see interop/src/members.rs.
func member(description string) error {
	var wanted membership
	if err := json.Unmarshal([]byte(description), &wanted); err != nil {
		return err
	}
	say := func(word string) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			var numbers []string
			for _, p := range partitions[wanted.Topic] {
				numbers = append(numbers, strconv.Itoa(int(p)))
			}
			fmt.Printf("%s %s\n", word, strings.Join(numbers, ","))
		}
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(wanted.Bootstrap, ",")...), kgo.ConsumerGroup(wanted.Group), kgo.ConsumeTopics(wanted.Topic),
		kgo.SessionTimeout(time.Duration(wanted.SessionTimeout) * time.Millisecond),
		kgo.HeartbeatInterval(300 * time.Millisecond), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50 * time.Millisecond),
		kgo.OnPartitionsAssigned(say("assigned")), kgo.OnPartitionsRevoked(say("revoked")),
		kgo.OnPartitionsLost(say("revoked")), kgo.Balancers(kgo.RangeBalancer()),
		kgo.WithLogger(kgo.BasicLogger(os.Stderr, kgo.LogLevelWarn, nil)),
	}
	if wanted.Cooperative {
		options = append(options, kgo.Balancers(kgo.CooperativeStickyBalancer()))
	}
	if wanted.Instance != "" {
		options = append(options, kgo.InstanceID(wanted.Instance))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	ctx, leave := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		leave()
	}()
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		fetches.EachRecord(func(r *kgo.Record) { fmt.Printf("record %d %d %s\n", r.Partition, r.Offset, r.Value) })
		if fetches.NumRecords() > 0 {
			// A failure is one of a rebalance that was faster, or of the broker's end: what is not committed is read again.
			if err := client.CommitUncommittedOffsets(context.Background()); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
		client.AllowRebalance()
	}
	client.CloseAllowingRebalance()
	fmt.Println("left")
	return nil
}
