package main

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var restarting = map[string]scenario{"restart:before": beforeRestart, "restart:after": afterRestart}

// state is everything a client can see of the topics of this scenario, a line for each thing.
func (k *kafka) state() ([]string, error) {
	found, err := k.topics()
	if err != nil {
		return nil, err
	}
	var lines []string
	for topic, detail := range found {
		if !strings.HasPrefix(topic, "restart-") {
			continue
		}
		configs, err := k.topicConfigs(topic)
		if err != nil {
			return nil, err
		}
		for key, config := range configs {
			if config.Source == kmsg.ConfigSourceDynamicTopicConfig {
				lines = append(lines, fmt.Sprintf("%s: %s=%s", topic, key, config.MaybeValue()))
			}
		}
		for partition := range detail.Partitions {
			start, err := k.start(topic, partition)
			if err != nil {
				return nil, err
			}
			end, err := k.end(topic, partition)
			if err != nil {
				return nil, err
			}
			lines = append(lines, fmt.Sprintf("%s %s-%d: %d to %d", detail.ID, topic, partition, start.Offset, end.Offset))
			if start.Offset == end.Offset {
				continue
			}
			read, err := k.read(topic, kgo.NewOffset().AtStart(), []int32{partition})
			if err != nil {
				return nil, err
			}
			for _, r := range read {
				lines = append(lines, fmt.Sprintf("%s-%d@%d: %d %x %x %v", topic, partition, r.Offset,
					r.Timestamp.UnixMilli(), r.Key, r.Value, r.Headers))
			}
		}
	}
	return sorted(lines), nil
}

func beforeRestart(k *kafka) error {
	err := all(
		func() error { return k.create("restart-plain", 2, nil) },
		func() error { return k.produce(sample("restart-plain", 500)) },
		func() error {
			return k.create("restart-trimmed", 1, map[string]string{"retention.ms": "12345678"})
		},
		func() error { return k.writeNumbers("restart-trimmed", 50) },
		func() error { return k.deleteRecords("restart-trimmed", 20) },
		func() error { return k.create("restart-deleted", 1, nil) },
		func() error { return k.deleteTopic("restart-deleted") },
		func() error { return k.create("restart-empty", 3, nil) },
	)
	if err != nil {
		return err
	}
	k.remembered, err = k.state()
	return err
}

func afterRestart(k *kafka) error {
	before, _ := k.remembered.([]string)
	// A broker that has just started may have no leaders yet, and not every request is repeated for that by kadm.
	err := eventually(func() error {
		after, err := k.state()
		if err != nil {
			return err
		}
		if len(after) != len(before) {
			return fmt.Errorf("%d lines of state, before %d", len(after), len(before))
		}
		for i := range before {
			if after[i] != before[i] {
				return fmt.Errorf("%q was %q", after[i], before[i])
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	records := []*kgo.Record{{Topic: "restart-trimmed", Value: []byte("after")}}
	if err := k.produce(records); err != nil {
		return err
	}
	return equal(records[0].Offset, 50, "offset of the next record")
}
