// kafkajs's hands: `main.js BOOTSTRAP` carries out operations, a line of JSON each (interop/src/driver.rs);
// `main.js member DESCRIPTION` is a member of a group (interop/src/members.rs).
'use strict'

const readline = require('readline')

const { Hands, NotOffered } = require('./hands')
const { member } = require('./member')

// What an error of kafkajs wraps: one error, or those of the parts of a request.
const within = e => e.cause || e.originalError || e.error || (e.errors || e.groups || e.partitions || [])[0]

// Kafka's error code of an error of kafkajs.
function codeOf(error) {
  for (let e = error, depth = 0; e && depth < 6; e = within(e), depth++) {
    if (Number.isInteger(e.code) && e.code !== -1) return e.code
    if (Number.isInteger(e.errorCode) && e.errorCode !== 0) return e.errorCode
  }
  return undefined
}

async function answer(hands, line) {
  const { op, ...fields } = JSON.parse(line)
  if (!hands[op]) return {}
  try {
    const result = await hands[op](fields)
    return { ok: result === undefined ? null : result }
  } catch (error) {
    if (error instanceof NotOffered) return {}
    const code = codeOf(error)
    if (code === undefined) console.error(error)
    return { failed: `${error.name}: ${error.message}`.slice(0, 1000), refused: code }
  }
}

async function main() {
  if (process.argv[2] === 'member') return member(JSON.parse(process.argv[3]))
  const hands = new Hands(process.argv[2])
  for await (const line of readline.createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    process.stdout.write(JSON.stringify(await answer(hands, line)) + '\n')
  }
  await hands.close()
}

main().catch(error => {
  console.error(error)
  process.exit(1)
})
