/**
 * The S3 adapter against a real store: `npm run minio` prints the environment; BAYOU_TEST_S3=s3://bayou/test says where to write.
 * What a store answers in trouble is played by a server of our own in `s3-answers.test.ts`.
 */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, it } from 'node:test'
import { openStore, parseS3Url } from '../../../storage/objects/open-store.ts'
import { StoreError } from '../../../storage/objects/object-store.ts'
import { probeStore } from '../../../storage/objects/probe.ts'
import { testEnv } from '../../support/env.ts'
import { describeObjectStore } from './contract.ts'

const url = process.env['BAYOU_TEST_S3']

if (url === undefined) {
  it('S3 contract', { skip: 'BAYOU_TEST_S3 is not set' }, () => undefined)
} else {
  describeObjectStore('s3', async () => {
    const prefix = `${url.replace(/\/+$/, '')}/contract-${randomUUID()}`
    const store = await openStore(prefix, testEnv())
    const other = await openStore(`${prefix}/`, testEnv())
    const close = async (): Promise<void> => {
      for (;;) {
        const left = await store.list('')
        if (left.length === 0) break
        await store.delete(left.map((object) => object.key))
      }
      await Promise.all([store.close(), other.close()])
    }
    return { store, other, close }
  })

  describe('s3 store', () => {
    it('passes the probe', async () => {
      const store = await openStore(`${url}/probed-${randomUUID()}`, testEnv())
      await probeStore(store, testEnv())
      assert.deepEqual(await store.list(''), [])
      await store.close()
    })

    it('says how to create a missing bucket', async () => {
      const bucket = `absent-${randomUUID()}`
      await assert.rejects(openStore(`s3://${bucket}/x`, testEnv()), (error) => {
        assert.ok(error instanceof StoreError && error.kind === 'missing-bucket' && !error.retriable)
        assert.match(error.message, new RegExp(`aws s3 mb s3://${bucket}`))
        return true
      })
    })

    it('says that the credentials are wrong', async () => {
      const credentials = { accessKeyId: 'nobody', secretAccessKey: 'nothing-at-all' }
      await assert.rejects(openStore(url, testEnv(), { s3: { credentials } }), (e) => e instanceof StoreError && e.kind === 'denied')
    })
  })
}

it('reads the address of a bucket', () => {
  assert.deepEqual(parseS3Url('s3://b-1.x'), { bucket: 'b-1.x', prefix: '' })
  assert.deepEqual(parseS3Url('s3://bucket/'), { bucket: 'bucket', prefix: '' })
  assert.deepEqual(parseS3Url('s3://bucket/a//b/'), { bucket: 'bucket', prefix: 'a/b/' })
  for (const wrong of ['s3://', 's3:///a', 's3://b/../c', 's3://b?x=1', 's3://b c/d']) {
    assert.throws(() => parseS3Url(wrong), (e) => e instanceof StoreError && e.kind === 'invalid', wrong)
  }
})
