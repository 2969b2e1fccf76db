import { SessionError } from '../errors.ts'

/** Where Redis is and how to reach it. */
export interface RedisTarget {
  readonly kind: 'single' | 'cluster' | 'sentinel'
  readonly tls: boolean
  readonly hosts: readonly { readonly host: string; readonly port: number }[]
  readonly username?: string
  readonly password?: string
  readonly db: number
  /** The name that the sentinels know the primary by. */
  readonly masterName?: string
}

const schemes: Record<string, Pick<RedisTarget, 'kind' | 'tls'> & { port: number }> = {
  redis: { kind: 'single', tls: false, port: 6379 },
  rediss: { kind: 'single', tls: true, port: 6379 },
  'redis-cluster': { kind: 'cluster', tls: false, port: 6379 },
  'rediss-cluster': { kind: 'cluster', tls: true, port: 6379 },
  'redis-sentinel': { kind: 'sentinel', tls: false, port: 26379 },
  'rediss-sentinel': { kind: 'sentinel', tls: true, port: 26379 },
}

/**
 * Reads `redis://[user:password@]host[:port][/db]`, `redis-cluster://h1:p1,h2:p2` or
 * `redis-sentinel://h1,h2/masterName[/db]`, each also as `rediss…` with TLS. User and password are percent-encoded.
 *
 * @throws SessionError `redis_url_invalid`, which never repeats the URL: it may hold a password
 */
export function parseRedisUrl(url: string): RedisTarget {
  // The URL class refuses several hosts.
  const match = /^([a-z-]+):\/\/(?:([^@/]*)@)?([^/?#]+)(\/[^?#]*)?$/.exec(url.trim())
  const scheme = schemes[match?.[1] ?? '']
  if (!match || !scheme) return refuse(`it must be ${Object.keys(schemes).join('://, ')}:// followed by hosts`)
  const [, , credentials, hostList = '', path = ''] = match
  const hosts = hostList.split(',').map((text) => parseHost(text, scheme.port))
  if (scheme.kind === 'single' && hosts.length > 1) refuse('redis:// takes one host; several need redis-cluster://')
  const segments = path.split('/').slice(1).map(decode)
  const masterName = scheme.kind === 'sentinel' ? segments.shift() : undefined
  if (scheme.kind === 'sentinel' && !masterName) refuse('redis-sentinel:// needs the name of the primary: /masterName')
  const db = segments.shift() || '0'
  if (!/^\d{1,5}$/.test(db) || segments.length > 0) refuse('the path must be the number of a database')
  if (scheme.kind === 'cluster' && db !== '0') refuse('Redis Cluster has database 0 only')
  return {
    kind: scheme.kind,
    tls: scheme.tls,
    hosts,
    db: Number(db),
    ...parseCredentials(credentials),
    ...(masterName && { masterName }),
  }
}

function parseHost(text: string, defaultPort: number): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text)
  const port = Number(match?.[3] ?? defaultPort)
  if (!match || port < 1 || port > 65_535) return refuse('a host must be name, name:port or [IPv6]:port')
  return { host: match[1] ?? match[2] ?? '', port }
}

function parseCredentials(text: string | undefined): { username?: string; password?: string } {
  if (!text) return {}
  const colon = text.indexOf(':')
  const username = decode(colon < 0 ? text : text.slice(0, colon))
  const password = colon < 0 ? '' : decode(text.slice(colon + 1))
  return { ...(username && { username }), ...(password && { password }) }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return refuse('a % must be followed by two hexadecimal digits')
  }
}

function refuse(reason: string): never {
  throw new SessionError('redis_url_invalid', `the Redis URL is not valid: ${reason}`)
}
