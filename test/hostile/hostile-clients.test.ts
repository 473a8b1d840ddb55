/**
 * Valid requests of every API and version, damaged with knowledge of their structure, against a broker in a child process. A seed that is fixed here; the
 * scenario `hostile clients` of test/robustness/slow goes on with random ones. An input that did harm stays in cases/, with the symptom in its name.
 */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import * as fc from 'fast-check'
import { peakBytes } from '../robustness/support/process-watch.ts'
import { Attack } from './attack.ts'
import { bombs } from './bombs.ts'
import { frameOf, mutations } from './mutations.ts'
import { validRequests } from './valid-requests.ts'

const SEED = 848

test('requests put together from their pieces are what the encoder of the protocol writes', () => {
  fc.assert(fc.property(validRequests({ topics: ['t'], topicIds: ['AAAAAAAAAAAAAAAAAAAAAQ'] }), (valid) => {
    const { api, version, request } = valid
    const frame = frameOf(valid, [])
    const header = 4 + 10 + 'hostile'.length + (version >= api.flexibleSince ? 1 : 0)
    assert.deepEqual(api.decodeRequest(version, frame.subarray(header)), api.decodeRequest(version, Buffer.concat(api.encodeRequest(version, request))))
  }), { seed: SEED, numRuns: 300 })
})

describe('hostile clients', () => {
  let attack: Attack
  before(async () => {
    attack = await Attack.start()
  })
  after(async () => {
    assert.equal(await attack.end(), 0)
  })

  test('what did harm once', async () => {
    const folder = new URL('cases/', import.meta.url)
    const names = readdirSync(folder).filter(name => name.endsWith('.hex'))
    assert.notEqual(names.length, 0)
    for (const name of names) {
      const input = Buffer.from(readFileSync(new URL(name, folder), 'utf8').replaceAll(/\s/g, ''), 'hex')
      for (const leave of [false, true]) await assert.doesNotReject(attack.send([input], leave).then(() => attack.settled()), name)
    }
  })

  test('compression bombs are refused in every codec, all at once, and memory stays where it was', async () => {
    const { pid } = attack.broker.process
    const before = peakBytes(pid!)
    await attack.bombard(bombs())
    const grown = peakBytes(pid!) - before
    assert.ok(grown < 500 * 1024 * 1024, `${grown} bytes more at the worst moment`)
  })

  test('after each, the next connection is served, and memory is where it was', async () => {
    const hostile = fc.tuple(validRequests(attack.vocabulary), mutations).map(([valid, changes]) => frameOf(valid, changes))
    const batches = fc.array(hostile, { minLength: 1, maxLength: 8, size: 'max' })
    const before = await attack.settled()
    await fc.assert(fc.asyncProperty(batches, inputs => attack.send(inputs, inputs.length % 2 === 0)), { seed: SEED, numRuns: 80 })
    await attack.cleanUp()
    const after = await attack.settled()
    assert.ok(after - before < 300 * 1024 * 1024, `${before} bytes before, ${after} after`)
  })
})
