/**
 * The replication id in the answer to INFO replication, or undefined. Redis takes a new one at each start of a primary and
 * at each promotion of a replica, which is when it may have lost what it had accepted last
 * (https://redis.io/docs/latest/operate/oss_and_stack/management/replication/#replication-id-explained).
 */
export function parseReplid(info: string): string | undefined {
  return /^master_replid:(\w+)/m.exec(info)?.[1]
}
