/**
 * The chart, as helm renders it: each file of values/ gives objects that fit together and settings that the broker accepts; each file of wrong/ is
 * refused with a message that its first line expects. Needs helm, which `test/helm/chart.sh` finds or builds; skipped where BAYOU_HELM is not set.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { promisify } from 'node:util'
import { parse, parseAllDocuments } from 'yaml'
import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/settings.ts'
import { root } from '../support/source-scan.ts'

const run = promisify(execFile)
const helm = process.env['BAYOU_HELM'] ?? ''
const chart = join(root, 'helm', 'bayou')
const folder = (name: string): string => join(root, 'test', 'helm', name)

interface Named {
  readonly name: string
}
interface Container {
  readonly image: string
  readonly command: readonly string[]
  readonly args: readonly string[]
  readonly ports: readonly (Named & { readonly containerPort: number })[]
  readonly env?: readonly (Named & { readonly value?: string; readonly valueFrom?: { readonly secretKeyRef: Named & { readonly optional?: boolean } } })[]
  readonly volumeMounts: readonly (Named & { readonly mountPath: string })[]
  readonly securityContext: Readonly<Record<string, unknown>>
  readonly [probe: `${string}Probe`]: { readonly httpGet: { readonly path: string; readonly port: string } }
}
interface Manifest {
  readonly kind: string
  readonly metadata: Named & { readonly labels: Readonly<Record<string, string>>; readonly annotations?: Readonly<Record<string, string>> }
  readonly data: Readonly<Record<string, string>>
  readonly stringData: Readonly<Record<string, string>>
  readonly spec: {
    readonly replicas: number
    readonly serviceName: string
    readonly type: string
    readonly clusterIP?: string
    readonly selector: Readonly<Record<string, unknown>> & { readonly matchLabels?: Readonly<Record<string, string>> }
    readonly ports: readonly (Named & { readonly port: number; readonly targetPort: string; readonly nodePort?: number })[]
    readonly endpoints: readonly { readonly port: string }[]
    readonly minAvailable?: number
    readonly maxUnavailable?: number
    readonly volumeClaimTemplates?: readonly { readonly metadata: Named }[]
    readonly template: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>>; readonly annotations: Readonly<Record<string, string>> }
      readonly spec: {
        readonly serviceAccountName: string
        readonly terminationGracePeriodSeconds: number
        readonly securityContext: Readonly<Record<string, unknown>>
        readonly containers: readonly [Container]
        readonly volumes: readonly (Named & { readonly configMap?: Named })[]
      }
    }
  }
}

/** The objects of one kind in what helm rendered. */
class Rendered {
  readonly #manifests: readonly Manifest[]

  constructor(text: string) {
    this.#manifests = parseAllDocuments(text)
      .map(document => {
        assert.deepEqual(document.errors, [])
        return document.toJS() as Manifest | null
      })
      .filter(manifest => manifest !== null)
  }

  get kinds(): readonly string[] {
    return this.#manifests.map(manifest => manifest.kind)
  }

  all(kind: string): readonly Manifest[] {
    return this.#manifests.filter(manifest => manifest.kind === kind)
  }

  one(kind: string): Manifest {
    const [found, ...others] = this.all(kind)
    assert.ok(found !== undefined && others.length === 0, `one ${kind} in ${this.kinds.join(', ')}`)
    return found
  }

  get pod(): Manifest['spec']['template'] {
    return this.one('StatefulSet').spec.template
  }

  get container(): Container {
    return this.pod.spec.containers[0]
  }

  /** What the broker makes of the settings file; throws ConfigError. */
  get config(): Config {
    const text = this.one('ConfigMap').data['bayou.yaml']
    assert.ok(text !== undefined)
    return loadConfig({ flags: { '--config': 'bayou.yaml' }, environment: {}, readFile: () => text }).config
  }
}

async function render(values: string | null): Promise<Rendered> {
  const files = values === null ? [] : ['--values', values]
  // A helm that was built with `go install` thinks of an old Kubernetes.
  const { stdout } = await run(helm, ['template', 'demo', chart, '--namespace', 'events', '--kube-version', '1.31', ...files])
  return new Rendered(stdout)
}

const goodFiles = readdirSync(folder('values')).map(name => join(folder('values'), name))

describe('the chart', { skip: helm === '' && 'BAYOU_HELM is not set; test/helm/chart.sh sets it', concurrency: 2 }, () => {
  for (const values of [null, ...goodFiles]) {
    const title = values === null ? 'its own values' : values.slice(folder('').length)

    it(`lints with ${title}`, async () => {
      await run(helm, ['lint', '--strict', chart, ...(values === null ? [] : ['--values', values])])
    })

    it(`fits together with ${title}`, async () => {
      const rendered = await render(values)
      fitsTogether(rendered)
    })
  }

  for (const name of readdirSync(folder('wrong'))) {
    it(`refuses ${name}`, async () => {
      const path = join(folder('wrong'), name)
      const [, expected] = /^# expect: (.+)/.exec(readFileSync(path, 'utf8')) ?? []
      assert.ok(expected !== undefined, 'the first line says what is expected')
      await assert.rejects(render(path), (error: Error & { stderr: string }) => {
        assert.match(error.stderr, new RegExp(expected, 's'))
        return true
      })
    })
  }

  it('keeps a directory on a volume of its own, and nothing on S3', async () => {
    const directory = await render(null)
    assert.equal(directory.config.store, '/var/lib/bayou/store')
    assert.deepEqual(directory.one('StatefulSet').spec.volumeClaimTemplates?.map(claim => claim.metadata.name), ['data'])
    assert.equal(directory.container.env, undefined)
    const existing = await render(join(folder('values'), 'directory.yaml'))
    assert.equal(existing.one('StatefulSet').spec.volumeClaimTemplates, undefined)
    assert.equal(existing.all('Service')[0]?.spec.ports[0]?.nodePort, 30_092)
    const s3 = await render(join(folder('values'), 'aws.yaml'))
    assert.equal(s3.one('StatefulSet').spec.volumeClaimTemplates, undefined)
    assert.deepEqual(s3.container.volumeMounts.map(mount => mount.name), ['settings'])
  })

  it('hands over store, endpoint, region and credentials', async () => {
    const rendered = await render(join(folder('values'), 'minio.yaml'))
    assert.equal(rendered.config.store, 's3://bayou/kafka')
    assert.deepEqual(rendered.one('Secret').stringData, { AWS_ACCESS_KEY_ID: 'bayou', AWS_SECRET_ACCESS_KEY: 'bayou-secret' })
    const values = new Map(rendered.container.env?.map(variable => [variable.name, variable.value]))
    assert.equal(values.get('AWS_ENDPOINT_URL'), 'http://minio.minio.svc:9000')
    assert.equal(values.get('AWS_REGION'), 'us-east-1')
    assert.deepEqual(rendered.kinds.filter(kind => kind === 'ServiceMonitor'), ['ServiceMonitor'])
  })

  it('writes settings as the broker reads them, numbers of any size included', async () => {
    const { config } = await render(join(folder('values'), 'minio.yaml'))
    assert.equal(config['table.flush.interval.ms'], 100)
    assert.equal(config['auto.create.topics.enable'], false)
    assert.equal(config['log.retention.ms'], Number.MAX_SAFE_INTEGER)
    const aws = (await render(join(folder('values'), 'aws.yaml'))).config
    assert.equal(aws['cache.bytes'], 1_073_741_824)
    assert.equal(aws['lane.linger.ms'], 200)
  })

  it('advertises the name of its pod, or what it is told', async () => {
    const inside = (await render(null)).config
    assert.deepEqual(inside.advertise, { host: 'demo-bayou-0.demo-bayou-headless.events.svc.cluster.local', port: 9092 })
    const outside = (await render(join(folder('values'), 'aws.yaml'))).config
    assert.deepEqual(outside.advertise, { host: 'kafka.example.com', port: 9094 })
    assert.equal(outside.listen.port, 9094)
  })

  it('uses what is there already', async () => {
    const rendered = await render(join(folder('values'), 'existing.yaml'))
    assert.deepEqual(rendered.all('Secret'), [])
    assert.deepEqual(rendered.all('ServiceAccount'), [])
    assert.equal(rendered.pod.spec.serviceAccountName, 'events')
    const secrets = rendered.container.env?.flatMap(variable => variable.valueFrom?.secretKeyRef.name ?? [])
    assert.deepEqual(new Set(secrets), new Set(['bayou-s3']))
    assert.equal(rendered.pod.metadata.labels['team'], 'events')
    assert.equal(rendered.one('PodDisruptionBudget').spec.maxUnavailable, 1)
  })

  it('restarts the broker when its settings change', async () => {
    const sums = await Promise.all([null, ...goodFiles].map(async values => (await render(values)).pod.metadata.annotations['checksum/settings']))
    assert.equal(new Set(sums).size, sums.length)
  })
})

/** What every rendering must keep. */
function fitsTogether(rendered: Rendered): void {
  const set = rendered.one('StatefulSet')
  const { pod, container } = rendered
  assert.equal(set.spec.replicas, 1)

  // Selectors find the pod.
  const selects = (selector: Readonly<Record<string, unknown>>): void => {
    assert.ok(Object.keys(selector).length > 0)
    for (const [label, value] of Object.entries(selector)) assert.equal(pod.metadata.labels[label], value, label)
  }
  selects(set.spec.selector.matchLabels ?? {})
  for (const service of rendered.all('Service')) {
    selects(service.spec.selector)
    for (const port of service.spec.ports) assert.ok(container.ports.some(one => one.name === port.targetPort && one.containerPort === port.port))
  }
  for (const budget of rendered.all('PodDisruptionBudget')) {
    selects(budget.spec.selector.matchLabels ?? {})
    assert.notEqual(budget.spec.minAvailable === undefined, budget.spec.maxUnavailable === undefined)
  }
  const headless = rendered.all('Service').find(service => service.metadata.name === set.spec.serviceName)
  assert.equal(headless?.spec.clusterIP, 'None')
  for (const monitor of rendered.all('ServiceMonitor')) {
    const wanted = Object.entries(monitor.spec.selector.matchLabels ?? {})
    const found = rendered.all('Service').filter(service => wanted.every(([label, value]) => service.metadata.labels[label] === value))
    assert.deepEqual(found.map(service => service.metadata.name), [headless.metadata.name])
    for (const endpoint of monitor.spec.endpoints) assert.ok(headless.spec.ports.some(port => port.name === endpoint.port))
  }

  // Probes ask the paths that the broker has, on its HTTP port.
  assert.deepEqual(container['startupProbe']?.httpGet, { path: '/health/live', port: 'http' })
  assert.deepEqual(container['livenessProbe']?.httpGet, { path: '/health/live', port: 'http' })
  assert.deepEqual(container['readinessProbe']?.httpGet, { path: '/health/ready', port: 'http' })

  // Everything that is mounted or named is there.
  const volumes = [...pod.spec.volumes, ...(set.spec.volumeClaimTemplates ?? []).map(claim => claim.metadata)].map(volume => volume.name)
  assert.deepEqual(container.volumeMounts.map(mount => mount.name).sort(), volumes.sort())
  assert.deepEqual(pod.spec.volumes.flatMap(volume => volume.configMap?.name ?? []), [rendered.one('ConfigMap').metadata.name])
  for (const secret of rendered.all('Secret')) assert.ok(container.env?.some(one => one.valueFrom?.secretKeyRef.name === secret.metadata.name))
  for (const account of rendered.all('ServiceAccount')) assert.equal(pod.spec.serviceAccountName, account.metadata.name)
  assert.match(container.image, /^bayou(:|@sha256:)/)
  for (const { metadata } of [set, ...rendered.all('Service')]) assert.ok(metadata.name.length <= 63)

  // It runs as nobody, cannot write to its image, and runs what the image has.
  assert.equal(pod.spec.securityContext['runAsNonRoot'], true)
  assert.equal(container.securityContext['readOnlyRootFilesystem'], true)
  assert.equal(container.securityContext['allowPrivilegeEscalation'], false)
  const dockerfile = readFileSync(join(root, 'Dockerfile'), 'utf8')
  const [, entry] = /^ENTRYPOINT (\[.*\])$/m.exec(dockerfile) ?? []
  assert.deepEqual((parse(entry ?? '[]') as string[]).slice(0, container.command.length), container.command)
  assert.ok(dockerfile.includes(`USER ${String(pod.spec.securityContext['runAsUser'])}:`))

  // The broker accepts its settings, listens where the container says, and has the time that it needs to stop.
  const { config } = rendered
  assert.deepEqual(container.args, ['serve', '--config', '/etc/bayou/bayou.yaml'])
  assert.deepEqual(container.ports.map(port => port.containerPort), [config.listen.port, config.http?.port])
  assert.ok(pod.spec.terminationGracePeriodSeconds * 1000 > config['shutdown.timeout.ms'])
}
