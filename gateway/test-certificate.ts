import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A certificate and its private key, both PEM. */
export interface CertificatePair {
  readonly cert: string
  readonly key: string
}

const ECDSA_WITH_SHA256 = der(0x30, der(0x06, Buffer.from('2a8648ce3d040302', 'hex')))
const COMMON_NAME = der(0x06, Buffer.from('550403', 'hex'))
const SUBJECT_ALT_NAME = der(0x06, Buffer.from('551d11', 'hex'))

/**
 * Creates a self-signed certificate for localhost and 127.0.0.1, valid for a day (RFC 5280, section 4.1). By hand, because
 * Node cannot and an openssl command is not everywhere.
 */
export function createCertificate(commonName: string): CertificatePair {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const name = der(0x30, der(0x31, der(0x30, COMMON_NAME, der(0x0c, Buffer.from(commonName)))))
  const hour = 3_600_000
  const validity = der(0x30, buildTime(Date.now() - hour), buildTime(Date.now() + 24 * hour))
  const serial = der(0x02, Buffer.concat([Buffer.of(1), randomBytes(8)]))
  const names = der(0x30, der(0x82, Buffer.from('localhost')), der(0x87, Buffer.of(127, 0, 0, 1)))
  const extensions = der(0xa3, der(0x30, der(0x30, SUBJECT_ALT_NAME, der(0x04, names))))
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const version = der(0xa0, der(0x02, Buffer.of(2)))
  const body = der(0x30, version, serial, ECDSA_WITH_SHA256, name, validity, name, spki, extensions)
  const signature = der(0x03, Buffer.of(0), sign('sha256', body, privateKey))
  const certificate = der(0x30, body, ECDSA_WITH_SHA256, signature).toString('base64')
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${certificate.replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
  }
}

/** A pair in files of a directory of its own, which disposing removes. */
export interface CertificateFiles extends CertificatePair, AsyncDisposable {
  readonly directory: string
  readonly certFile: string
  readonly keyFile: string
}

export async function createCertificateFiles(commonName = 'localhost'): Promise<CertificateFiles> {
  const directory = await mkdtemp(join(tmpdir(), 'im-tls-'))
  const pair = createCertificate(commonName)
  const [certFile, keyFile] = [join(directory, 'tls.crt'), join(directory, 'tls.key')]
  await Promise.all([writeFile(certFile, pair.cert), writeFile(keyFile, pair.key, { mode: 0o600 })])
  return {
    ...pair,
    directory,
    certFile,
    keyFile,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  }
}

/** One element of DER (X.690): tag, length, content. */
function der(tag: number, ...content: Buffer[]): Buffer {
  const body = Buffer.concat(content)
  if (body.length < 0x80) return Buffer.concat([Buffer.of(tag, body.length), body])
  const length = Buffer.of(0x82, body.length >> 8, body.length & 0xff)
  return Buffer.concat([Buffer.of(tag), length, body])
}

/** UTCTime: YYMMDDhhmmssZ. */
function buildTime(time: number): Buffer {
  const digits = new Date(time).toISOString().replace(/\D/g, '').slice(2, 14)
  return der(0x17, Buffer.from(`${digits}Z`))
}
