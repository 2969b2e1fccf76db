import { generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto'
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
const BASIC_CONSTRAINTS = der(0x06, Buffer.from('551d13', 'hex'))
const TRUE = der(0x01, Buffer.of(0xff))
const HOUR_MS = 3_600_000

/** Whoever trusts `cert` trusts every certificate that this issues. */
export interface CertificateAuthority {
  readonly cert: string
  /** Creates a certificate for localhost, 127.0.0.1 and ::1, with a key and a serial number of its own. */
  issue(commonName: string): CertificatePair
}

/** Creates an authority that is valid for a day. */
export function createAuthority(commonName = 'test authority'): CertificateAuthority {
  const keys = createKeys()
  const isAuthority = der(0x30, BASIC_CONSTRAINTS, TRUE, der(0x04, der(0x30, TRUE)))
  return {
    cert: signCertificate(commonName, keys.publicKey, isAuthority, { name: commonName, key: keys.privateKey }),
    issue(name) {
      const { publicKey, privateKey } = createKeys()
      return {
        cert: signCertificate(name, publicKey, buildNames(), { name: commonName, key: keys.privateKey }),
        key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
      }
    },
  }
}

/** Creates a self-signed certificate for localhost, 127.0.0.1 and ::1, valid for a day. */
export function createCertificate(commonName: string): CertificatePair {
  const { publicKey, privateKey } = createKeys()
  return {
    cert: signCertificate(commonName, publicKey, buildNames(), { name: commonName, key: privateKey }),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
  }
}

function createKeys(): { publicKey: KeyObject; privateKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
}

/**
 * Builds and signs a certificate (RFC 5280, section 4.1), as PEM. By hand, because Node cannot and an openssl command is
 * not everywhere.
 */
function signCertificate(
  commonName: string,
  publicKey: KeyObject,
  extension: Buffer,
  issuer: { readonly name: string; readonly key: KeyObject },
): string {
  const validity = der(0x30, buildTime(Date.now() - HOUR_MS), buildTime(Date.now() + 24 * HOUR_MS))
  const serial = der(0x02, Buffer.concat([Buffer.of(1), randomBytes(8)]))
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const version = der(0xa0, der(0x02, Buffer.of(2)))
  const subject = [buildName(issuer.name), validity, buildName(commonName), spki]
  const body = der(0x30, version, serial, ECDSA_WITH_SHA256, ...subject, der(0xa3, der(0x30, extension)))
  const signature = der(0x03, Buffer.of(0), sign('sha256', body, issuer.key))
  const certificate = der(0x30, body, ECDSA_WITH_SHA256, signature).toString('base64')
  return `-----BEGIN CERTIFICATE-----\n${certificate.replace(/.{1,64}/g, '$&\n')}-----END CERTIFICATE-----\n`
}

function buildName(commonName: string): Buffer {
  return der(0x30, der(0x31, der(0x30, COMMON_NAME, der(0x0c, Buffer.from(commonName)))))
}

/** The extension that says which hosts the certificate is for. */
function buildNames(): Buffer {
  const addresses = [Buffer.of(127, 0, 0, 1), Buffer.concat([Buffer.alloc(15), Buffer.of(1)])]
  const names = der(0x30, der(0x82, Buffer.from('localhost')), ...addresses.map((address) => der(0x87, address)))
  return der(0x30, SUBJECT_ALT_NAME, der(0x04, names))
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
  // The shortest form: others are no DER, and Go refuses them.
  if (body.length < 0x100) return Buffer.concat([Buffer.of(tag, 0x81, body.length), body])
  const length = Buffer.of(0x82, body.length >> 8, body.length & 0xff)
  return Buffer.concat([Buffer.of(tag), length, body])
}

/** UTCTime: YYMMDDhhmmssZ. */
function buildTime(time: number): Buffer {
  const digits = new Date(time).toISOString().replace(/\D/g, '').slice(2, 14)
  return der(0x17, Buffer.from(`${digits}Z`))
}
