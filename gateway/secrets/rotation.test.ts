import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Redis } from 'ioredis'
import { startGateway, type GatewayProcess } from '../../test/kit/servers/gateway-process.ts'
import { startNats, type NatsServer } from '../../test/kit/servers/nats-server.ts'
import { startRedis, type RedisServer } from '../../test/kit/servers/redis-server.ts'
import { connectTcp } from '../../test/kit/raw-client.ts'
import { signToken } from '../../test/kit/token.ts'
import { Proxy } from '../../test/kit/proxy.ts'
import { loginTcp } from '../test-bench.ts'
import { SecretFolder, Talk, waitForTaken, waitForTrouble } from './test-rotation.ts'

const [first, second, third] = ['first', 'second', 'third'].map((word) => `${word} secret of at least 32 bytes`)
assert.ok(first && second && third)

const stack = new AsyncDisposableStack()
let redis: RedisServer
let nats: NatsServer
/** Of the user that gateways have. */
let admin: Redis

before(async () => {
  redis = stack.use(await startRedis())
  nats = stack.use(await startNats())
  admin = new Redis(redis.url)
  stack.defer(() => admin.disconnect())
})
after(() => stack.disposeAsync())

let pairs = 0

/** Two gateways that read their secrets from a folder, and get nothing secret else. */
async function startPair(
  folder: SecretFolder,
  env: Readonly<Record<string, string>> = {},
  natsUrl = nats.url,
): Promise<[GatewayProcess, GatewayProcess] & AsyncDisposable> {
  const prefix = `p${(pairs += 1)}:`
  const start = (brokerId: string) =>
    startGateway({
      brokerId,
      redisUrl: redis.url,
      natsUrl,
      env: { IM_SECRETS_DIRECTORY: folder.path, IM_LEASE_MS: '1500', IM_KEY_PREFIX: prefix, ...env },
    })
  const pair: [GatewayProcess, GatewayProcess] = [await start('gw-0'), await start('gw-1')]
  return Object.assign(pair, {
    async [Symbol.asyncDispose]() {
      const lines = pair.flatMap((gateway) => gateway.logs()).map((line) => JSON.stringify(line))
      await Promise.all(pair.map((gateway) => gateway[Symbol.asyncDispose]()))
      assert.deepEqual(
        lines.filter((line) => /secret of at least|-word/.test(line)),
        [],
        'a secret was logged',
      )
    },
  })
}

async function assertLogin(gateway: GatewayProcess, secret: string, accepted: boolean): Promise<void> {
  const token = await signToken(secret, 1, 'carol')
  if (accepted) return (await loginTcp(gateway, { token })).destroy()
  await using client = await connectTcp(gateway.tcpUrl)
  await assert.rejects(client.login({ token }), /token_invalid/)
}

describe('the key of tokens', () => {
  test('is changed while clients talk; tokens of the former one are good as long as that is there', async () => {
    await using folder = await SecretFolder.create({ IM_AUTH_SECRET: first })
    await using pair = await startPair(folder, { IM_AUTH_MODE: 'secret' })
    await using talk = await Talk.start(pair, (user) => signToken(first, 1, user))
    await assertLogin(pair[0], second, false)

    await folder.write({ IM_AUTH_SECRET: second, IM_AUTH_FORMER_SECRET: first })
    for (const gateway of pair) {
      await waitForTaken(gateway, 1)
      for (const secret of [first, second]) await assertLogin(gateway, secret, true)
      await assertLogin(gateway, third, false)
    }

    await folder.write({ IM_AUTH_SECRET: 'too short' })
    await waitForTrouble(pair[0], /IM_AUTH_SECRET.*at least 32 bytes.*stays in use/)
    for (const secret of [first, second]) await assertLogin(pair[0], secret, true)

    await folder.write({ IM_AUTH_SECRET: second })
    for (const gateway of pair) {
      await waitForTaken(gateway, 2)
      await waitForTrouble(gateway, undefined)
      await assertLogin(gateway, first, false)
      await assertLogin(gateway, second, true)
    }
    await talk.goesOn()
    await talk.finish()
  })

  test('stays while its files are away, as when a Secret is deleted and made anew', async () => {
    await using folder = await SecretFolder.create({ IM_AUTH_SECRET: first, IM_AUTH_FORMER_SECRET: second })
    await using pair = await startPair(folder, { IM_AUTH_MODE: 'secret' })
    await folder.write({})
    await folder.write({ IM_AUTH_SECRET: third, IM_AUTH_FORMER_SECRET: second })
    await waitForTaken(pair[0], 1)
    await folder.write({})
    for (const secret of [second, third]) await assertLogin(pair[0], secret, true)
  })
})

describe('the password of Redis', () => {
  const urlOf = (password: string) => `redis://im:${password}@127.0.0.1:${redis.port}`
  const setUser = (...rules: string[]) => admin.call('ACL', 'SETUSER', 'im', 'on', '~*', '+@all', ...rules)
  const breakConnections = () => admin.call('CLIENT', 'KILL', 'USER', 'im')
  const writeUrl = (folder: SecretFolder, url: string) => folder.write({ IM_REDIS_URL: url })

  test('is changed while clients talk, where Redis knows both for a while', async () => {
    await setUser('resetpass', '>first-word')
    await using folder = await SecretFolder.create({ IM_REDIS_URL: urlOf('first-word') })
    await using pair = await startPair(folder)
    await using talk = await Talk.start(pair)
    await setUser('>second-word')
    await writeUrl(folder, urlOf('second-word'))
    for (const gateway of pair) await waitForTaken(gateway, 1)
    await setUser('<first-word')
    await talk.goesOn()
    assert.ok(Number(await breakConnections()) >= 2)
    await talk.goesOn()
    await talk.finish()
    for (const gateway of pair) await waitForTrouble(gateway, undefined)
  })

  test('is changed in the Secret first: that is told, and what is there goes on until Redis has it', async () => {
    await setUser('resetpass', '>first-word')
    await using folder = await SecretFolder.create({ IM_REDIS_URL: urlOf('first-word') })
    await using pair = await startPair(folder)
    await using talk = await Talk.start(pair)
    await writeUrl(folder, urlOf('second-word'))
    for (const gateway of pair) await waitForTrouble(gateway, /IM_REDIS_URL.*WRONGPASS.*stays in use/)
    await breakConnections()
    await talk.goesOn()
    await setUser('resetpass', '>second-word')
    for (const gateway of pair) await waitForTaken(gateway, 1)
    await breakConnections()
    await talk.goesOn()
    await talk.finish()
    for (const gateway of pair) await waitForTrouble(gateway, undefined)
  })

  test('is changed at Redis first: gateways are back as soon as the Secret has it', async () => {
    await setUser('resetpass', '>first-word')
    await using folder = await SecretFolder.create({ IM_REDIS_URL: urlOf('first-word') })
    await using pair = await startPair(folder)
    await using talk = await Talk.start(pair)
    await setUser('resetpass', '>second-word')
    await breakConnections()
    for (const gateway of pair) await gateway.waitForLog(({ msg }) => msg === 'Redis is away', 60_000)
    await writeUrl(folder, urlOf('second-word'))
    for (const gateway of pair) await waitForTaken(gateway, 1)
    await talk.goesOn()
    await talk.finish()
  })

  test('may come with another address of the same Redis, and not with one of another or of another kind', async () => {
    await setUser('resetpass', '>first-word')
    await using folder = await SecretFolder.create({ IM_REDIS_URL: urlOf('first-word') })
    await using pair = await startPair(folder)
    await using talk = await Talk.start(pair)
    await using other = await startRedis({ persistent: false })
    const refused = [
      [other.url, /IM_REDIS_URL.*another Redis/],
      [urlOf('first-word').replace('redis:', 'redis-cluster:'), /IM_REDIS_URL.*rollout restart/],
      [`${urlOf('first-word')}/1`, /IM_REDIS_URL.*rollout restart/],
      ['redis://:first-word@', /IM_REDIS_URL.*not valid/],
    ] as const
    for (const [url, words] of refused) {
      await writeUrl(folder, url)
      await waitForTrouble(pair[0], words)
    }
    const url = redis.url.replace('redis:', 'tcp:')
    await using proxy = await Proxy.start({ tcpUrl: url, wsUrl: url })
    await writeUrl(folder, urlOf('first-word').replace(String(redis.port), new URL(proxy.tcpUrl).port))
    for (const gateway of pair) await waitForTaken(gateway, 1)
    await talk.goesOn()
    let sockets = 0
    proxy.cut(() => {
      sockets += 1
      return false
    })
    assert.ok(sockets >= 4, 'both gateways come by the proxy')
    await talk.finish()
  })
})

describe('the credentials of NATS', () => {
  const configOf = (...users: { user: string; password: string }[]) => JSON.stringify({ authorization: { users } })
  const [old, fresh] = [
    { user: 'im', password: 'first-word' },
    { user: 'im', password: 'second-word' },
  ] as const
  const filesOf = ({ user, password }: typeof old | typeof fresh) => ({
    IM_NATS_USER: user,
    IM_NATS_PASSWORD: password,
  })
  const start = () => startNats({ login: { user: old.user, pass: old.password }, config: configOf(old) })

  test('are changed in the Secret first: that is told, and NATS takes them when it has them', async () => {
    await using server = await start()
    await using folder = await SecretFolder.create(filesOf(old))
    await using pair = await startPair(folder, {}, server.url)
    await using talk = await Talk.start(pair)
    await folder.write(filesOf(fresh))
    for (const gateway of pair) await waitForTrouble(gateway, /IM_NATS_USER.*NATS refuses them.*stays in use/)
    await talk.goesOn()
    await server.reload({ 'nats.conf': configOf(fresh) })
    for (const gateway of pair) {
      await waitForTaken(gateway, 1)
      await waitForTrouble(gateway, undefined)
    }
    await talk.goesOn()
    await talk.finish()
  })

  test('are changed at NATS first: gateways say so, and are back as soon as the Secret has them', async () => {
    await using server = await start()
    await using folder = await SecretFolder.create(filesOf(old))
    await using pair = await startPair(folder, {}, server.url)
    await using talk = await Talk.start(pair)
    await server.reload({ 'nats.conf': configOf(fresh) })
    for (const gateway of pair) await waitForTrouble(gateway, /NATS refuses the credentials/)
    await talk.goesOn()
    await folder.write(filesOf(fresh))
    for (const gateway of pair) {
      await waitForTaken(gateway, 1)
      await waitForTrouble(gateway, undefined)
    }
    await talk.goesOn()
    await talk.finish()
  })

  test('are changed without a moment away where NATS knows two users for a while', async () => {
    const other = { user: 'im2', password: 'second-word' }
    await using server = await start()
    await using folder = await SecretFolder.create(filesOf(old))
    await using pair = await startPair(folder, {}, server.url)
    await using talk = await Talk.start(pair)
    await server.reload({ 'nats.conf': configOf(old, other) })
    await folder.write({ IM_NATS_USER: other.user, IM_NATS_PASSWORD: other.password })
    for (const gateway of pair) await waitForTaken(gateway, 1)
    await server.reload({ 'nats.conf': configOf(other) })
    for (const gateway of pair) {
      await gateway.waitForLog(({ msg }) => msg === 'NATS is back', 60_000)
      await waitForTrouble(gateway, undefined)
      assert.ok(!gateway.logs().some(({ reason }) => reason === 'NatsRefused'))
    }
    await talk.goesOn()
    await talk.finish()
  })
})
