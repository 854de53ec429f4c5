// A member of a group; see interop/src/members.rs.
'use strict'

const { kafka } = require('./hands')

const say = line => process.stdout.write(line + '\n')

async function member(wanted) {
  if (wanted.cooperative || wanted.instance) return say('not offered')
  const consumer = kafka(wanted.bootstrap).consumer({
    groupId: wanted.group, sessionTimeout: wanted.session_timeout_ms, rebalanceTimeout: 10_000, heartbeatInterval: 300,
    maxWaitTimeInMs: 50,
  })
  let owned = []
  const lose = () => {
    if (owned.length > 0) say(`revoked ${owned.join(',')}`)
    owned = []
  }
  consumer.on(consumer.events.REBALANCING, lose)
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    lose()
    owned = payload.memberAssignment[wanted.topic] || []
    say(`assigned ${owned.join(',')}`)
  })
  await consumer.connect()
  await consumer.subscribe({ topics: [wanted.topic], fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, resolveOffset, commitOffsetsIfNecessary, isStale, isRunning }) => {
      if (!isRunning() || isStale() || batch.messages.length === 0) return
      say(batch.messages.map(m => `record ${batch.partition} ${m.offset} ${m.value}`).join('\n'))
      resolveOffset(batch.lastOffset())
      const offset = String(Number(batch.lastOffset()) + 1)
      await commitOffsetsIfNecessary({ topics: [{ topic: batch.topic, partitions: [{ partition: batch.partition, offset }] }] })
    },
  })
  process.stdin.resume()
  process.stdin.on('end', async () => {
    await consumer.disconnect()
    say('left')
    process.exit(0)
  })
}

module.exports = { member }
