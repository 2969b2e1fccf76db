/** Defaults of what the directory and the inboxes keep, in milliseconds unless said otherwise; the gateway's settings have theirs from here. */
export const defaults = {
  leaseMs: 6000,
  /** Messages of one inbox. */
  maxLength: 10_000,
  retentionMs: 7 * 24 * 3600_000,
  /** Cursors and epochs outlive the messages, so that a device learns what it missed. */
  cursorRetentionMs: 90 * 24 * 3600_000,
  dedupeMs: 10 * 60_000,
  /** A session whose connection has ended, and what Redis has of a user who is not online with any device. */
  offlineRetentionMs: 3600_000,
  /** One command. */
  redisTimeoutMs: 3000,
  /** Devices of one user that are online at once, whatever the policy. */
  maxDevices: 64,
  /** How long a login keeps trying while others of the same user come first. */
  contendedMs: 3000,
  /** What nobody uses any more: sessions since the last login of their user, the index of a gateway, the registers. */
  directoryRetentionMs: 90 * 24 * 3600_000,
  /** What is known of a cleanup that was broken off. */
  cleanupRetentionMs: 24 * 3600_000,
  /** Between the first pass of a cleanup and the last. */
  graceMs: 60_000,
} as const
