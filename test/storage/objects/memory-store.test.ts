import assert from 'node:assert/strict'
import { it } from 'node:test'
import { MemoryStore } from '../../../storage/objects/memory-store.ts'
import { bytes, describeObjectStore, text } from './contract.ts'

describeObjectStore('memory', async () => {
  const store = new MemoryStore()
  return { store, other: store, close: () => store.close() }
})

it('a hook after the effect can lose the reply', async () => {
  let lose = true
  const store = new MemoryStore({
    after: () => {
      if (lose) throw new Error('lost')
    },
  })
  await assert.rejects(store.putIfAbsent('a', [bytes('1')]), /lost/)
  lose = false
  assert.equal(text(await store.get('a')), '1')
})
