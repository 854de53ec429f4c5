package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var configuring = map[string]scenario{
	"topic-configs": topicConfigs, "topic-configs-legacy": topicConfigsLegacy, "bad-config": badConfig,
	"broker-configs": brokerConfigs, "config-resources": configResources,
}

// configs of one topic, by key.
func (k *kafka) topicConfigs(topic string) (map[string]kadm.Config, error) {
	ctx, cancel := timed()
	defer cancel()
	found, err := k.admin.DescribeTopicConfigs(ctx, topic)
	return byKey(found, err)
}

func (k *kafka) brokerConfigs() (map[string]kadm.Config, error) {
	ctx, cancel := timed()
	defer cancel()
	found, err := k.admin.DescribeBrokerConfigs(ctx, 1)
	return byKey(found, err)
}

func byKey(found kadm.ResourceConfigs, err error) (map[string]kadm.Config, error) {
	if err != nil {
		return nil, err
	}
	if len(found) != 1 || found[0].Err != nil {
		return nil, errors.Join(fmt.Errorf("%d resources described", len(found)), found[0].Err)
	}
	configs := map[string]kadm.Config{}
	for _, config := range found[0].Configs {
		configs[config.Key] = config
	}
	return configs, nil
}

// expectConfig checks value and source of one key, once the change that led to it has arrived.
func expectConfig(describe func() (map[string]kadm.Config, error), key, value string, source kmsg.ConfigSource) error {
	return eventually(func() error {
		configs, err := describe()
		if err != nil {
			return err
		}
		config, found := configs[key]
		if !found {
			return fmt.Errorf("%s is not described", key)
		}
		seen := fmt.Sprintf("%s (%s)", config.MaybeValue(), config.Source)
		return equal(seen, fmt.Sprintf("%s (%s)", value, source), key)
	})
}

func change(op kadm.IncrementalOp, name, value string) kadm.AlterConfig {
	if op == kadm.DeleteConfig {
		return kadm.AlterConfig{Op: op, Name: name}
	}
	return kadm.AlterConfig{Op: op, Name: name, Value: &value}
}

func outcome(answers kadm.AlterConfigsResponses, err error) error {
	for _, answer := range answers {
		err = errors.Join(err, answer.Err)
	}
	return err
}

func (k *kafka) alterTopic(topic string, changes ...kadm.AlterConfig) error {
	ctx, cancel := timed()
	defer cancel()
	return outcome(k.admin.AlterTopicConfigs(ctx, changes, topic))
}

func topicConfigs(k *kafka) error {
	topic, dynamic, standard := "topic-configs", kmsg.ConfigSourceDynamicTopicConfig, kmsg.ConfigSourceDefaultConfig
	describe := func() (map[string]kadm.Config, error) { return k.topicConfigs(topic) }
	expect := func(key, value string, source kmsg.ConfigSource) func() error {
		return func() error { return expectConfig(describe, key, value, source) }
	}
	alter := func(changes ...kadm.AlterConfig) func() error {
		return func() error { return k.alterTopic(topic, changes...) }
	}
	write := func() error {
		value := bytes.Repeat([]byte("x"), 1000)
		return k.produce([]*kgo.Record{{Topic: topic, Key: []byte("k"), Value: value}},
			kgo.ProducerBatchCompression(kgo.NoCompression()))
	}
	return all(
		func() error { return k.create(topic, 1, map[string]string{"retention.ms": "100000"}) },
		expect("retention.ms", "100000", dynamic),
		expect("max.message.bytes", "1048588", standard),
		alter(change(kadm.SetConfig, "max.message.bytes", "500"), change(kadm.SetConfig, "cleanup.policy", "delete")),
		expect("max.message.bytes", "500", dynamic),
		expect("retention.ms", "100000", dynamic),
		func() error { return refused("1,000 bytes", kerr.MessageTooLarge, write()) },
		alter(change(kadm.AppendConfig, "cleanup.policy", "compact")),
		expect("cleanup.policy", "delete,compact", dynamic),
		alter(change(kadm.SubtractConfig, "cleanup.policy", "delete")),
		expect("cleanup.policy", "compact", dynamic),
		alter(change(kadm.DeleteConfig, "max.message.bytes", "")),
		expect("max.message.bytes", "1048588", standard),
		write,
	)
}

func topicConfigsLegacy(k *kafka) error {
	topic := "legacy"
	if err := k.create(topic, 1, map[string]string{"retention.ms": "100000", "max.message.bytes": "5000"}); err != nil {
		return err
	}
	ctx, cancel := timed()
	defer cancel()
	state := []kadm.AlterConfig{change(kadm.SetConfig, "segment.bytes", "2000000")}
	if err := outcome(k.admin.AlterTopicConfigsState(ctx, state, topic)); err != nil {
		return err
	}
	return eventually(func() error {
		configs, err := k.topicConfigs(topic)
		if err != nil {
			return err
		}
		overrides := map[string]string{}
		for key, config := range configs {
			if config.Source == kmsg.ConfigSourceDynamicTopicConfig {
				overrides[key] = config.MaybeValue()
			}
		}
		return equal(overrides, map[string]string{"segment.bytes": "2000000"}, "overrides")
	})
}

func badConfig(k *kafka) error {
	bad := []kadm.AlterConfig{
		change(kadm.SetConfig, "no.such.key", "1"), change(kadm.SetConfig, "retention.ms", "soon"),
		change(kadm.SetConfig, "cleanup.policy", "keep"), change(kadm.SetConfig, "max.message.bytes", "-1"),
	}
	if err := k.create("bad-config", 1, nil); err != nil {
		return err
	}
	for _, one := range bad {
		what := one.Name + "=" + *one.Value
		err := k.create("not-created", 1, map[string]string{one.Name: *one.Value})
		if err := refused("creation with "+what, kerr.InvalidConfig, err); err != nil {
			return err
		}
		if err := refused("change to "+what, kerr.InvalidConfig, k.alterTopic("bad-config", one)); err != nil {
			return err
		}
	}
	return refused("append to a key that is no list", kerr.InvalidConfig,
		k.alterTopic("bad-config", change(kadm.AppendConfig, "retention.ms", "5")))
}

func brokerConfigs(k *kafka) error {
	const key = "log.retention.ms"
	expect := func(key, value string, source kmsg.ConfigSource) func() error {
		return func() error { return expectConfig(k.brokerConfigs, key, value, source) }
	}
	alter := func(op kadm.IncrementalOp, key, value string, brokers ...int32) func() error {
		return func() error {
			ctx, cancel := timed()
			defer cancel()
			return outcome(k.admin.AlterBrokerConfigs(ctx, []kadm.AlterConfig{change(op, key, value)}, brokers...))
		}
	}
	return all(
		expect("node.id", "1", kmsg.ConfigSourceStaticBrokerConfig),
		expect("num.partitions", "12", kmsg.ConfigSourceStaticBrokerConfig),
		expect("message.max.bytes", "1048588", kmsg.ConfigSourceDefaultConfig),
		alter(kadm.SetConfig, key, "7200000", 1),
		expect(key, "7200000", kmsg.ConfigSourceDynamicBrokerConfig),
		// Without a broker it is the default of all.
		alter(kadm.SetConfig, key, "3600000"),
		expect(key, "7200000", kmsg.ConfigSourceDynamicBrokerConfig),
		alter(kadm.DeleteConfig, key, "", 1),
		expect(key, "3600000", kmsg.ConfigSourceDynamicDefaultBrokerConfig),
		alter(kadm.DeleteConfig, key, ""),
		expect(key, "", kmsg.ConfigSourceDefaultConfig),
		func() error {
			return refused("a read-only key", kerr.InvalidRequest, alter(kadm.SetConfig, "log.dirs", "/x", 1)())
		},
	)
}

func configResources(k *kafka) error {
	if err := k.create("config-resources", 1, nil); err != nil {
		return err
	}
	ctx, cancel := timed()
	defer cancel()
	found, err := k.admin.ListConfigResources(ctx)
	if err != nil {
		return err
	}
	if found.Err != nil {
		return found.Err
	}
	for _, wanted := range []kadm.ConfigResource{
		{Type: kmsg.ConfigResourceTypeTopic, Name: "config-resources"}, {Type: kmsg.ConfigResourceTypeBroker, Name: "1"},
	} {
		if !slices.Contains(found.Resources, wanted) {
			return fmt.Errorf("%+v is not among %s", wanted, short(found.Resources))
		}
	}
	return nil
}
