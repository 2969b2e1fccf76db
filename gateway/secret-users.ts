import { SessionError } from '../session/errors.ts'
import { changeTarget, compareTargets } from '../session/redis/redis-target.ts'
import { parseRedisUrl } from '../session/redis/redis-url.ts'
import { checkWritable, closeRedis, connectRedis, readReplids, type RedisClient } from '../session/redis/redis.ts'
import { probeNats } from './bus/nats-connection.ts'
import { startRedis } from './directory/redis-link.ts'
import type { SecretUsers } from './secrets/secret-watch.ts'
import type { Secrets, SecretValues } from './secrets/secrets.ts'
import { findKeyMistakes, type GatewaySettings } from './settings.ts'

/** How the parts of a gateway take other secrets while it runs. */
export function createSecretUsers(settings: GatewaySettings, secrets: Secrets, redis: RedisClient): SecretUsers {
  return {
    redis: ({ redisUrl }, stop) => changeRedisUrl(redis, secrets.inUse.redisUrl, redisUrl, settings, stop),
    nats: (values) => probeNats(settings, values),
    auth: (values) => checkTokenKeys(settings, values),
  }
}

function checkTokenKeys({ authMode }: GatewaySettings, values: SecretValues): Promise<void> {
  const [mistake] = findKeyMistakes({ ...values, authMode })
  return mistake === undefined ? Promise.resolve() : Promise.reject(new Error(mistake))
}

/**
 * Lets the client use another URL, after a connection of its own has shown that it can be used.
 *
 * @throws Error that says why not
 */
async function changeRedisUrl(
  redis: RedisClient,
  from: string,
  to: string,
  { redisTimeoutMs, brokerId }: GatewaySettings,
  stop: AbortSignal,
): Promise<void> {
  const target = parseRedisUrl(to)
  const change = compareTargets(parseRedisUrl(from), target)
  if (change === 'none') return
  if (change === 'kind')
    throw new Error('it is of another kind or place; kubectl rollout restart makes gateways use it')
  const connectionName = `im-gateway ${brokerId} probe`
  const probe = connectRedis(to, { connectionName, commandTimeoutMs: redisTimeoutMs, onError: () => undefined })
  try {
    await startRedis(probe, redisTimeoutMs, stop)
    await checkWritable(probe).catch((error: unknown) => {
      if (!(error instanceof SessionError && error.code === 'redis_full')) throw error
    })
    if (change === 'place') await checkSameData(redis, probe)
    changeTarget(redis, target)
  } finally {
    await closeRedis(probe)
  }
}

/** Gateways come to a new address one after another: on another Redis they would not see each other meanwhile. */
async function checkSameData(redis: RedisClient, probe: RedisClient): Promise<void> {
  // One that does not answer is not left for nothing.
  const present = await readReplids(redis).catch(() => undefined)
  const found = await readReplids(probe)
  if (present === undefined || found.some((replid) => replid !== '' && present.includes(replid))) return
  throw new Error('it is another Redis, with other data; see "Moving to another Redis" in docs/operations.md')
}
