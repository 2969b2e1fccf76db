import {
  digestSecrets,
  secretGroups,
  secretSettings,
  type SecretDigests,
  type SecretGroup,
  type SecretSetting,
} from '../../session/secret-digest.ts'
import type { GatewaySettings } from '../settings.ts'

/** The settings that are secret. */
export type SecretValues = Pick<
  GatewaySettings,
  'redisUrl' | 'natsUser' | 'natsPassword' | 'natsToken' | 'authSecret' | 'authFormerSecret'
>

const settings: Readonly<Record<SecretSetting, keyof SecretValues>> = {
  IM_REDIS_URL: 'redisUrl',
  IM_NATS_USER: 'natsUser',
  IM_NATS_PASSWORD: 'natsPassword',
  IM_NATS_TOKEN: 'natsToken',
  IM_AUTH_SECRET: 'authSecret',
  IM_AUTH_FORMER_SECRET: 'authFormerSecret',
}

/** The values with what files say instead. */
export function withFiles(values: SecretValues, files: Partial<Record<SecretSetting, string>>): SecretValues {
  const said = Object.entries(files).map(([name, value]) => [settings[name as SecretSetting], value])
  return { ...values, ...(Object.fromEntries(said) as Partial<SecretValues>) }
}

function membersOf(group: SecretGroup): (keyof SecretValues)[] {
  return secretSettings[group].map((setting) => settings[setting])
}

/** The secrets that this gateway uses at the moment, and their digests for the lease. */
export class Secrets {
  #inUse: SecretValues
  readonly #keyPrefix: string
  readonly #digests = new Map<SecretGroup, string>()

  constructor({ keyPrefix, ...values }: SecretValues & Pick<GatewaySettings, 'keyPrefix'>) {
    this.#inUse = values
    this.#keyPrefix = keyPrefix
    for (const group of secretGroups) void this.#digest(group)
  }

  get inUse(): SecretValues {
    return this.#inUse
  }

  get digests(): SecretDigests {
    return Object.fromEntries(this.#digests)
  }

  /** Whether the values of a group are those in use. */
  uses(group: SecretGroup, values: SecretValues): boolean {
    return membersOf(group).every((name) => values[name] === this.#inUse[name])
  }

  /** From now on the values of a group are these. */
  use(group: SecretGroup, values: SecretValues): void {
    const taken = membersOf(group).map((name) => [name, values[name]])
    this.#inUse = { ...this.#inUse, ...(Object.fromEntries(taken) as Partial<SecretValues>) }
    this.#digests.delete(group)
    void this.#digest(group)
  }

  async #digest(group: SecretGroup): Promise<void> {
    const values = this.#inUse
    const named = secretSettings[group].map((setting) => [setting, values[settings[setting]]])
    const digest = await digestSecrets(
      group,
      this.#keyPrefix,
      Object.fromEntries(named) as Record<SecretSetting, string>,
    )
    if (this.uses(group, values)) this.#digests.set(group, digest)
  }
}
