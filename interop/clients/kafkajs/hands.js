// How kafkajs is called for each operation of interop/src/hands.rs.
'use strict'

const { AssignerProtocol, CompressionCodecs, CompressionTypes, Kafka, Partitioners, logLevel } = require('kafkajs')
const LZ4 = require('kafkajs-lz4')
const SnappyCodec = require('kafkajs-snappy')

CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec
CompressionCodecs[CompressionTypes.LZ4] = new LZ4().codec

const LIMIT_MS = 40_000
const ACKS = { 0: 0, 1: 1, all: -1 }
// It has no zstd, and nobody keeps one for it.
const CODECS = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy, lz4: CompressionTypes.LZ4 }
const RESOURCES = { topic: 2, broker: 4 }

class NotOffered extends Error {}

const encoded = data => (data === null || data === undefined ? null : data.toString('base64'))
const decoded = text => (text === null ? null : Buffer.from(text, 'base64'))

// To standard error: standard output is for answers.
const logCreator = () => ({ log, label }) => console.error(label, log.message, log.error || '')

function kafka(bootstrap) {
  return new Kafka({
    brokers: bootstrap.split(','), logCreator, logLevel: logLevel.ERROR,
    retry: { initialRetryTime: 50, maxRetryTime: 1000, retries: 30 },
  })
}

// kafkajs has headers as an object, where those of one name are a list; nulls it does not write, and the order of
// different names only as objects keep it.
function toHeaders(pairs) {
  const headers = {}
  let last
  for (const [key, value] of pairs) {
    if (value === null || (key in headers && key !== last)) throw new NotOffered()
    last = key
    headers[key] = key in headers ? [].concat(headers[key], decoded(value)) : decoded(value)
  }
  return headers
}

function fromHeaders(headers) {
  const pairs = Object.entries(headers || {})
  return pairs.flatMap(([key, value]) => (Array.isArray(value) ? value : [value]).map(v => [key, encoded(v)]))
}

class Hands {
  constructor(bootstrap) {
    this.bootstrap = bootstrap
    this.kafka = kafka(bootstrap)
    this.connected = null
  }

  async admin() {
    if (!this.connected) {
      // What is not there is asked for again before that is told; not for long.
      this.connected = this.kafka.admin({ retry: { initialRetryTime: 50, maxRetryTime: 1000, retries: 5 } })
      await this.connected.connect()
    }
    return this.connected
  }

  async close() {
    if (this.connected) await this.connected.disconnect()
  }

  async create({ topic, partitions, replicas, configs }) {
    const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }))
    const wanted = { topic, numPartitions: partitions, replicationFactor: replicas, configEntries }
    const created = await (await this.admin()).createTopics({ topics: [wanted], waitForLeaders: false })
    // The one error that it tells by a mere false.
    if (!created) throw Object.assign(new Error('the topic exists'), { code: 36 })
  }

  async delete({ topic }) {
    await (await this.admin()).deleteTopics({ topics: [topic] })
  }

  async topics() {
    return (await this.admin()).listTopics()
  }

  async describe({ topic }) {
    const { topics } = await (await this.admin()).fetchTopicMetadata({ topics: [topic] })
    return topics[0].partitions.map(p => ({ id: p.partitionId, leader: p.leader, replicas: p.replicas, isr: p.isr }))
  }

  async add_partitions({ topic, count }) {
    await (await this.admin()).createPartitions({ topicPartitions: [{ topic, count }] })
  }

  async delete_records({ topic, partition, before }) {
    await (await this.admin()).deleteTopicRecords({ topic, partitions: [{ partition, offset: String(before) }] })
  }

  async configs({ type, name }) {
    const resources = [{ type: RESOURCES[type], name }]
    const found = await (await this.admin()).describeConfigs({ resources, includeSynonyms: false })
    return Object.fromEntries(found.resources[0].configEntries.map(e => [e.configName, e.configValue]))
  }

  async cluster() {
    const { brokers, controller } = await (await this.admin()).describeCluster()
    return { brokers: brokers.map(b => `${b.nodeId}@${b.host}:${b.port}`), controller }
  }

  async produce({ topic, records, bootstrap, acks, codec, idempotent }) {
    if (!(codec in CODECS)) throw new NotOffered()
    // As the default, but noting where each message goes.
    const createPartitioner = () => {
      const choose = Partitioners.DefaultPartitioner()
      return asked => (asked.message.place = choose(asked))
    }
    const producer = kafka(bootstrap).producer({ idempotent, maxInFlightRequests: 1, createPartitioner })
    // A producer that is there waits for a broker that starts; a new one gives up at once.
    for (const deadline = Date.now() + LIMIT_MS; ;) {
      try {
        await producer.connect()
        break
      } catch (error) {
        if (Date.now() > deadline) throw error
        await new Promise(resolve => setTimeout(resolve, 100))
      }
    }
    try {
      const places = []
      // It makes one batch for each partition of a call, so a call must not grow beyond what a topic takes.
      const part = []
      let size = 0
      const send = async () => {
        if (part.length > 0) places.push(...await this.sendOne(producer, topic, part, ACKS[acks], CODECS[codec]))
        part.length = size = 0
      }
      for (const record of records) {
        const length = (record.value || '').length
        if (size + length > 500_000 || part.length >= 5000) await send()
        part.push(record)
        size += length
      }
      await send()
      return places
    } finally {
      await producer.disconnect()
    }
  }

  // One call of its producer. It answers with the first offset of each partition only.
  async sendOne(producer, topic, records, acks, compression) {
    const messages = records.map(r => {
      const message = { key: decoded(r.key), value: decoded(r.value), headers: toHeaders(r.headers) }
      if (r.timestamp !== null) message.timestamp = String(r.timestamp)
      if (r.partition >= 0) message.partition = r.partition
      return message
    })
    const answers = await producer.send({ topic, messages, acks, compression, timeout: LIMIT_MS })
    const next = Object.fromEntries(answers.map(a => [a.partition, Number(a.baseOffset)]))
    return messages.map(m => [m.place, acks === 0 ? -1 : next[m.place]++])
  }

  // It reads only as a member of a group; this one is of a group of its own, and commits nothing.
  async read({ topic, partition, from }) {
    const ends = await (await this.admin()).fetchTopicOffsets(topic)
    const { high, low } = ends.find(e => e.partition === partition)
    if (from > Number(high) || from < Number(low)) throw new NotOffered()
    if (from === Number(high)) return []
    const groupId = `reading-${process.hrtime.bigint()}`
    const consumer = this.kafka.consumer({ groupId, maxWaitTimeInMs: 50, maxBytesPerPartition: 12_000_000 })
    const records = []
    await consumer.connect()
    try {
      await consumer.subscribe({ topics: [topic], fromBeginning: true })
      await new Promise((resolve, reject) => {
        const late = setTimeout(() => reject(new Error(`${records.length} records of ${topic} after ${LIMIT_MS} ms`)), LIMIT_MS)
        consumer.on(consumer.events.CRASH, ({ payload }) => payload.restart || reject(payload.error))
        const eachMessage = async ({ partition: place, message: m }) => {
          if (place !== partition || Number(m.offset) < from || records.length + from >= Number(high)) return
          records.push({
            offset: Number(m.offset), timestamp: Number(m.timestamp), key: encoded(m.key), value: encoded(m.value),
            headers: fromHeaders(m.headers),
          })
          if (Number(m.offset) + 1 >= Number(high)) resolve(clearTimeout(late))
        }
        consumer.run({ autoCommit: false, eachMessage }).catch(reject)
        consumer.seek({ topic, partition, offset: String(from) })
      })
    } finally {
      await consumer.disconnect()
    }
    return records
  }

  async offsets({ topic, partitions, at }) {
    const admin = await this.admin()
    const named = at === 'earliest' || at === 'latest'
    const found = named ? await admin.fetchTopicOffsets(topic) : await admin.fetchTopicOffsetsByTimestamp(topic, at)
    const one = e => (at === 'earliest' ? e.low : at === 'latest' ? e.high : e.offset)
    return partitions.map(p => Number(one(found.find(e => e.partition === p))))
  }

  // It commits only as a member or, here, as an administrator of a group without members.
  async commit({ group, topic, offsets, metadata }) {
    if (metadata) throw new NotOffered()
    await this.alter_group_offsets({ group, topic, offsets })
  }

  async alter_group_offsets({ group, topic, offsets }) {
    const partitions = offsets.map(([partition, offset]) => ({ partition, offset: String(offset) }))
    const asked = (await this.admin()).setOffsets({ groupId: group, topic, partitions })
    await asked.catch(error => {
      // It asks for the group's state, and says no before the broker says UNKNOWN_MEMBER_ID.
      const inUse = /no running instances, current state: Stable/.test(error.message)
      throw inUse ? Object.assign(error, { code: 25 }) : error
    })
  }

  async committed({ group, topic, partitions }) {
    const [found] = await (await this.admin()).fetchOffsets({ groupId: group, topics: [topic] })
    const all = Array.from({ length: partitions }, (_, p) => found.partitions.find(e => e.partition === p))
    return all.map((e, p) => [p, e ? Number(e.offset) : -1, e ? e.metadata : null])
  }

  async groups() {
    const { groups } = await (await this.admin()).listGroups()
    return groups.map(g => ({ group: g.groupId, protocol_type: g.protocolType }))
  }

  async describe_group({ group }) {
    const { groups: [found] } = await (await this.admin()).describeGroups([group])
    const members = found.members.map(m => {
      const assigned = m.memberAssignment.length ? AssignerProtocol.MemberAssignment.decode(m.memberAssignment) : null
      return { id: m.memberId, host: m.clientHost, partitions: Object.values(assigned ? assigned.assignment : {}).flat() }
    })
    return { state: found.state, protocol: found.protocol, members }
  }

  async delete_group({ group }) {
    await (await this.admin()).deleteGroups([group])
  }
}

module.exports = { Hands, NotOffered, kafka }
