package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

var codecs = map[string]sarama.CompressionCodec{
	"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
	"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
}

var acks = map[string]sarama.RequiredAcks{"0": sarama.NoResponse, "1": sarama.WaitForLocal, "all": sarama.WaitForAll}

// choose takes the partition that a record names, and leaves it to the key where it names none.
type choose struct{ byKey sarama.Partitioner }

func (c choose) Partition(m *sarama.ProducerMessage, count int32) (int32, error) {
	if m.Partition >= 0 {
		return m.Partition, nil
	}
	return c.byKey.Partition(m, count)
}

func (c choose) RequiresConsistency() bool { return true }

func produce(_ *hands, a *asked) (any, error) {
	c := config()
	c.Producer.RequiredAcks = acks[a.Acks]
	c.Producer.Compression = codecs[a.Codec]
	c.Producer.MaxMessageBytes = a.MaxBytes
	c.Producer.Return.Successes = true
	c.Producer.Retry.Max = 100
	c.Producer.Partitioner = func(topic string) sarama.Partitioner { return choose{sarama.NewHashPartitioner(topic)} }
	if a.Idempotent {
		c.Producer.Idempotent = true
		c.Net.MaxOpenRequests = 1
	}
	if a.Acks == "0" {
		// Without answers only one request after the other keeps their order.
		c.Net.MaxOpenRequests = 1
	}
	producer, err := sarama.NewSyncProducer(strings.Split(a.Bootstrap, ","), c)
	// A producer that is there waits for a broker that starts; a new one gives up at once.
	for deadline := time.Now().Add(limit); err != nil && time.Now().Before(deadline); {
		time.Sleep(100 * time.Millisecond)
		producer, err = sarama.NewSyncProducer(strings.Split(a.Bootstrap, ","), c)
	}
	if err != nil {
		return nil, err
	}
	defer producer.Close()
	messages := make([]*sarama.ProducerMessage, len(a.Records))
	for i, r := range a.Records {
		messages[i] = &sarama.ProducerMessage{Topic: a.Topic, Partition: r.Partition}
		// sarama tells null and empty apart by the encoder being there.
		if r.Key != nil {
			messages[i].Key = sarama.ByteEncoder(*r.Key)
		}
		if r.Value != nil {
			messages[i].Value = sarama.ByteEncoder(*r.Value)
		}
		if r.Timestamp != nil {
			messages[i].Timestamp = time.UnixMilli(*r.Timestamp)
		}
		for _, header := range r.Headers {
			h := sarama.RecordHeader{Key: []byte(header[0].(string))}
			if text, is := header[1].(string); is {
				if h.Value, err = base64.StdEncoding.DecodeString(text); err != nil {
					return nil, err
				}
			}
			messages[i].Headers = append(messages[i].Headers, h)
		}
	}
	if err := producer.SendMessages(messages); err != nil {
		return nil, err
	}
	places := make([][2]int64, len(messages))
	for i, m := range messages {
		places[i] = [2]int64{int64(m.Partition), m.Offset}
	}
	return places, nil
}

func optional(data []byte) *[]byte {
	if data == nil {
		return nil
	}
	return &data
}

func read(h *hands, a *asked) (any, error) {
	if err := h.connect(); err != nil {
		return nil, err
	}
	end, err := h.client.GetOffset(a.Topic, a.Partition, sarama.OffsetNewest)
	if err != nil {
		return nil, err
	}
	records := []record{}
	if a.From == end {
		return records, nil
	}
	consumer, err := sarama.NewConsumerFromClient(h.client)
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	partition, err := consumer.ConsumePartition(a.Topic, a.Partition, a.From)
	if err != nil {
		return nil, err
	}
	defer partition.Close()
	late := time.After(limit)
	for {
		select {
		case m, open := <-partition.Messages():
			if !open {
				return nil, errors.New("the consumer has closed")
			}
			at := m.Timestamp.UnixMilli()
			r := record{Partition: m.Partition, Offset: m.Offset, Timestamp: &at, Key: optional(m.Key), Value: optional(m.Value)}
			for _, header := range m.Headers {
				r.Headers = append(r.Headers, [2]any{string(header.Key), optional(header.Value)})
			}
			records = append(records, r)
			if m.Offset+1 >= end {
				return records, nil
			}
		case err := <-partition.Errors():
			return nil, err
		case <-late:
			return nil, fmt.Errorf("%d records of %s after %v", len(records), a.Topic, limit)
		}
	}
}
