import { Command, Option } from 'commander'
import { SignJWT } from 'jose'
import { CommandError } from './errors.ts'
import type { Io } from './io.ts'
import { parseCount, parseDuration } from './values.ts'

/** RFC 7518, section 3.2: a key for HS256 has at least the length of its hash. */
const MIN_SECRET_BYTES = 32

interface TokenOptions {
  readonly secret: string
  readonly app: number
  readonly user: string
  readonly ttl: number
}

/** `im token`: signs a JWT as the gateway's IM_AUTH_MODE=secret takes it. */
export function buildTokenCommand(io: Io): Command {
  return new Command('token')
    .summary('make a token that says who you are')
    .description(
      'Prints a token (JWT, HS256) with the claims sub, app, iat and exp. Only for gateways with IM_AUTH_MODE=secret, and ' +
        'only where the secret may be: in production your own service makes the tokens, after it has checked who asks.',
    )
    .addOption(
      new Option('--secret <secret>', `the gateway's secret, at least ${MIN_SECRET_BYTES} bytes`)
        .env('IM_AUTH_SECRET')
        .makeOptionMandatory(),
    )
    .requiredOption('--user <id>', 'the user that it is for')
    .addOption(new Option('--app <id>', 'the app that the user belongs to').argParser(parseCount).default(1))
    .addOption(new Option('--ttl <time>', 'how long it is valid').argParser(parseDuration).default(3_600_000, '1h'))
    .addHelpText(
      'after',
      `
Examples:
  $ im token --secret 0123456789abcdef0123456789abcdef --user alice
  $ export IM_TOKEN=$(im token --user alice --ttl 8h)     # the secret comes from IM_AUTH_SECRET
  $ im listen --url ws://127.0.0.1:8080                   # … and the token from IM_TOKEN`,
    )
    .action(async ({ secret, app, user, ttl }: TokenOptions) => {
      const key = new TextEncoder().encode(secret)
      if (key.length < MIN_SECRET_BYTES) {
        throw new CommandError(
          'secret_too_short',
          `the secret has ${key.length} bytes; use at least ${MIN_SECRET_BYTES}`,
        )
      }
      const now = Math.floor(Date.now() / 1000)
      const token = await new SignJWT({ app })
        .setProtectedHeader({ alg: 'HS256' })
        .setSubject(user)
        .setIssuedAt(now)
        .setExpirationTime(now + Math.ceil(ttl / 1000))
        .sign(key)
      await io.print(token)
    })
}
