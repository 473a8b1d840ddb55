/** BROKER_LOGGER resources: the levels of the broker's loggers are seen, changed, and have effect. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { JoinGroup } from '../../protocol/messages/11-join-group.ts'
import { DescribeConfigs } from '../../protocol/messages/32-describe-configs.ts'
import { AlterConfigs } from '../../protocol/messages/33-alter-configs.ts'
import { IncrementalAlterConfigs } from '../../protocol/messages/44-incremental-alter-configs.ts'
import { ListConfigResources } from '../../protocol/messages/74-list-config-resources.ts'
import { eventually, removeStore, startTestBroker } from '../support/broker.ts'
import { RawClient } from '../support/raw-client.ts'
import { isError, quick } from './support.ts'

const BROKER_LOGGER = 8
const SET = 0
const DELETE = 1
const APPEND = 2

test('levels of loggers', async (t) => {
  const broker = await startTestBroker({ args: [...quick, '--group-initial-rebalance-delay-ms', '0'] })
  const client = await RawClient.connect(broker.address)
  t.after(async () => {
    client.close()
    await broker.stop()
    await removeStore(broker.store)
  })
  const levels = async (): Promise<string> => {
    const { results } = await client.send(DescribeConfigs, 4, { resources: [{ resourceType: BROKER_LOGGER, resourceName: '0', configurationKeys: null }] })
    isError(results[0]!.errorCode, 'NONE')
    assert.ok(results[0]!.configs.every(({ configSource, readOnly }) => configSource === 6 && !readOnly))
    return results[0]!.configs.map(({ name, value }) => `${name}=${value}`).join(' ')
  }
  const alter = async (changes: readonly (readonly [string, number, string | null])[], options: { validateOnly?: boolean; name?: string } = {}) => {
    const configs = changes.map(([name, configOperation, value]) => ({ name, configOperation, value }))
    const resources = [{ resourceType: BROKER_LOGGER, resourceName: options.name ?? '0', configs }]
    return (await client.send(IncrementalAlterConfigs, 1, { resources, validateOnly: options.validateOnly ?? false })).responses[0]!
  }
  /** Makes the group coordinator say something at level info. */
  const join = async (groupId: string): Promise<void> => {
    const protocols = [{ name: 'range', metadata: new Uint8Array(6) }]
    isError((await client.send(JoinGroup, 3, { groupId, sessionTimeoutMs: 10_000, rebalanceTimeoutMs: 10_000, memberId: '', protocolType: 'consumer', protocols })).errorCode, 'NONE')
  }
  const heard = (group: string): boolean => broker.log.some((line) => line['group'] === group)

  const { configResources } = await client.send(ListConfigResources, 1, { resourceTypes: [BROKER_LOGGER] })
  assert.deepEqual(configResources, [{ resourceName: '0', resourceType: BROKER_LOGGER }])
  assert.equal(await levels(), 'root=INFO groups=INFO server=INFO storage=INFO transactions=INFO')
  isError((await alter([['groups', SET, 'warn']])).errorCode, 'NONE')
  isError((await alter([['root', SET, 'DEBUG']])).errorCode, 'NONE')
  assert.equal(await levels(), 'root=DEBUG groups=WARN server=DEBUG storage=DEBUG transactions=DEBUG')
  await join('silent')
  isError((await alter([['groups', DELETE, null]])).errorCode, 'NONE')
  assert.equal(await levels(), 'root=DEBUG groups=DEBUG server=DEBUG storage=DEBUG transactions=DEBUG')
  await join('heard')
  await eventually('the group is in the log', () => heard('heard'))
  assert.ok(!heard('silent'))

  for (const [changes, code, said] of [
    [[['groups', SET, 'LOUD']], 'INVALID_CONFIG', /FATAL, ERROR, WARN, INFO, DEBUG, TRACE/],
    [[['kafka.server.KafkaApis', SET, 'INFO']], 'INVALID_CONFIG', /does not exist/],
    [[['ROOT', DELETE, null]], 'INVALID_REQUEST', /not allowed/],
    [[['groups', APPEND, 'INFO']], 'INVALID_REQUEST', /Only SET and DELETE/],
    [[['server', SET, 'ERROR'], ['groups', SET, 'LOUD']], 'INVALID_CONFIG', /LOUD/],
  ] as const) {
    const refused = await alter(changes)
    isError(refused.errorCode, code)
    assert.match(refused.errorMessage ?? '', said)
  }
  isError((await alter([['groups', SET, 'INFO']], { name: '7' })).errorCode, 'INVALID_REQUEST')
  isError((await alter([['groups', SET, 'INFO']], { validateOnly: true })).errorCode, 'NONE')
  const resources = [{ resourceType: BROKER_LOGGER, resourceName: '0', configs: [{ name: 'groups', value: 'INFO' }] }]
  isError((await client.send(AlterConfigs, 2, { resources, validateOnly: false })).responses[0]!.errorCode, 'INVALID_REQUEST')
  assert.equal(await levels(), 'root=DEBUG groups=DEBUG server=DEBUG storage=DEBUG transactions=DEBUG')
})
