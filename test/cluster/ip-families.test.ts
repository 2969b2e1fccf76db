import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { lacksNetworks, runInNetwork } from '../kit/network-namespace.ts'

const scripts = Object.fromEntries(
  ['gateways', 'redis-sets', 'operator'].map((name) => [
    name,
    fileURLToPath(new URL(`ip-families/${name}.ts`, import.meta.url)),
  ]),
)
const run = (network: Parameters<typeof runInNetwork>[0], name: string, ...args: string[]) =>
  runInNetwork(network, scripts[name] ?? '', args)

describe('where only IPv6 is up', { skip: await lacksNetworks() }, () => {
  test('clients of two gateways reach each other, over TCP, WebSocket and TLS', () => run('ipv6', 'gateways', '::1'))
  test('gateways find the primary by sentinels, and every node of a Redis Cluster, also after a failover', () =>
    run('ipv6', 'redis-sets', '::1'))
  test('the operator is asked for its health, and asks the API server', () => run('ipv6', 'operator', '::1'))
})

describe('where IPv6 is off', { skip: await lacksNetworks() }, () => {
  test('clients of two gateways reach each other', () => run('ipv4', 'gateways', '127.0.0.1'))
  test('the operator is asked for its health', () => run('ipv4', 'operator', '127.0.0.1'))
})

describe('where both are up', { skip: await lacksNetworks() }, () => {
  test('a gateway is reached by either', () => run('both', 'gateways', '127.0.0.1', '::1'))
  test('so is the operator', () => run('both', 'operator', '127.0.0.1', '::1'))
})
