import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { lacks, renderNotes } from './chart-kit.ts'

const tryout = { tryout: { enabled: true } }
const ofCluster = (spec: object = {}, more: object = {}) => renderNotes('im-cluster', { ...tryout, ...more, spec })
const ofOperator = (values: object = {}) => renderNotes('im-cluster-operator', values)

/** Paragraphs of commands, as a reader would copy them. */
const commandsOf = (notes: string) => notes.split('\n\n').filter((paragraph) => paragraph.startsWith('  '))

describe('the notes of the chart of the operator', { skip: lacks('helm') }, () => {
  it('lead to a cluster of the same image, which is pulled in the same way', () => {
    assert.equal(
      commandsOf(ofOperator()).find((command) => command.includes('tryout')),
      '  helm install chat charts/im-cluster --namespace chat --create-namespace \\\n    --set tryout.enabled=true',
    )
    const image = { repository: 'registry.example/im', tag: '1.2', digest: `sha256:${'a'.repeat(64)}` }
    const notes = ofOperator({ image, imagePullSecrets: [{ name: 'pull' }] })
    const flags = `--set image.repository=registry.example/im --set image.tag=1.2 --set image.digest=${image.digest} --set spec.imagePullSecrets[0].name=pull`
    assert.equal(notes.split(flags).length, 3, 'in both commands')
  })

  it('name the namespace that is watched, and say what is missing', () => {
    const notes = ofOperator({ watchNamespace: 'tenant', replicas: 0, crds: { install: false } })
    assert.match(notes, /helm install chat charts\/im-cluster --namespace tenant \\/)
    assert.match(notes, /replicas is 0: nothing is run/)
    assert.match(notes, /^ {2}kubectl apply --server-side -f crds\/imcluster\.yaml$/m)
    assert.doesNotMatch(ofOperator(), /kubectl apply|replicas is 0/)
  })
})

describe('the notes of the chart of a cluster', { skip: lacks('helm') }, () => {
  it('send a message through the listener that there is', () => {
    const notes = ofCluster({ listeners: { websocket: { port: 80 } } })
    assert.match(notes, /port-forward service\/im 8080:80 & FORWARD=\$!\n {2}URL=ws:\/\/127\.0\.0\.1:8080\n/)
    assert.match(notes, /^From within Kubernetes: ws:\/\/im\.chat:80 tcp:\/\/im\.chat:9000$/m)
    const tcpAlone = ofCluster({ listeners: { websocket: { enabled: false } } })
    assert.match(tcpAlone, /port-forward service\/im 9000:9000 & FORWARD=\$!\n {2}URL=tcp:\/\/127\.0\.0\.1:9000\n/)
    assert.match(tcpAlone, /^From within Kubernetes: tcp:\/\/im\.chat:9000$/m)
  })

  it('do not lead through a port-forward where the certificate names the host', () => {
    const notes = ofCluster({ listeners: { tls: { secretName: 'tls' } } })
    assert.match(notes, /^ {2}URL=wss:\/\/…:8080 {3}# by a name that the certificate has/m)
    assert.match(notes, /^ {2}wait \$LISTEN$/m)
    assert.doesNotMatch(notes, /FORWARD/)
    assert.match(notes, /^From within Kubernetes: wss:\/\/im\.chat:8080 tls:\/\/im\.chat:9000$/m)
  })

  it('get tokens as the cluster wants them', () => {
    const secretOf = (notes: string) => /get secret (\S+) .*index \.data "(.*?)"/.exec(notes)?.slice(1)
    assert.deepEqual(secretOf(ofCluster()), ['im-auth', 'secret'])
    const auth = { existingSecret: 'mine', existingSecretKey: 'key' }
    assert.deepEqual(secretOf(ofCluster({}, { auth })), ['mine', 'key'])
    assert.deepEqual(secretOf(ofCluster({ auth: { secretRef: { name: 'other', key: 'k' } } })), ['other', 'k'])
    assert.match(ofCluster({ auth: { mode: 'none' } }), /^ {2}ALICE=1:alice BOB=1:bob$/m)
    assert.match(ofCluster({ auth: { mode: 'jwks', jwksUrl: 'https://a' } }), /tokens of your identity provider/)
  })
})
