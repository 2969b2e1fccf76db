import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { run, type CommandOptions } from './command.ts'

/** Any object, as kubectl prints it. */
export interface KubeObject {
  readonly metadata: {
    readonly name: string
    readonly uid: string
    readonly resourceVersion: string
    readonly generation?: number
    readonly deletionTimestamp?: string
    readonly labels?: Readonly<Record<string, string>>
  }
}

export interface PodObject extends KubeObject {
  readonly spec: { readonly nodeName?: string }
  readonly status: {
    readonly phase: string
    readonly podIP?: string
    readonly containerStatuses?: readonly {
      readonly name: string
      readonly restartCount: number
      readonly ready: boolean
      readonly containerID?: string
      readonly state: { readonly running?: object }
    }[]
  }
}

const POLL_MS = 250

/** Whether a pod takes connections and is not about to end. */
export function isReady({ metadata, status }: PodObject): boolean {
  return metadata.deletionTimestamp === undefined && status.containerStatuses?.every(({ ready }) => ready) === true
}

/** kubectl, in one namespace of the cluster that KUBECONFIG names. */
export class Kubectl {
  readonly namespace: string
  constructor(namespace: string) {
    this.namespace = namespace
  }

  run(args: readonly string[], options?: CommandOptions): Promise<string> {
    return run('kubectl', ['--namespace', this.namespace, ...args], options)
  }

  /** Applies manifests: JSON objects, or YAML. */
  apply(manifest: object | string): Promise<string> {
    const input = typeof manifest === 'string' ? manifest : JSON.stringify(manifest)
    return this.run(['apply', '--server-side', '--force-conflicts', '-f', '-'], { input })
  }

  async get<T extends KubeObject>(kind: string, name: string): Promise<T | undefined> {
    const text = await this.run(['get', kind, name, '--ignore-not-found', '-o', 'json'])
    return text === '' ? undefined : (JSON.parse(text) as T)
  }

  async list<T extends KubeObject>(kind: string, selector = ''): Promise<T[]> {
    const text = await this.run(['get', kind, '-o', 'json', ...(selector === '' ? [] : ['--selector', selector])])
    return (JSON.parse(text) as { items: T[] }).items
  }

  patch(kind: string, name: string, patch: object): Promise<string> {
    return this.run(['patch', kind, name, '--type', 'merge', '--patch', JSON.stringify(patch)])
  }

  exec(pod: string, command: readonly string[]): Promise<string> {
    return this.run(['exec', pod, '--', ...command])
  }

  /** Forwards a local port, which the system chooses, to a port of an object such as `service/im`. */
  async forward(target: string, port: number): Promise<{ port: number } & AsyncDisposable> {
    const child = spawn('kubectl', ['--namespace', this.namespace, 'port-forward', target, `:${port}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const exited = once(child, 'exit')
    const stop = async () => {
      child.kill('SIGKILL')
      await exited
    }
    for await (const line of createInterface({ input: child.stdout })) {
      const found = /127\.0\.0\.1:(\d+) ->/.exec(line)
      if (found !== null) return { port: Number(found[1]), [Symbol.asyncDispose]: stop }
    }
    throw new Error(`kubectl port-forward ${target} ${port} ended`)
  }
}

/**
 * Asks again and again until `check` returns something.
 *
 * @throws Error that names what it waited for, and what was seen last
 */
export async function waitFor<T>(
  what: string,
  timeoutMs: number,
  check: () => Promise<T | undefined | false>,
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  let last: unknown
  for (;;) {
    try {
      const found = await check()
      if (found !== undefined && found !== false) return found
      last = found
    } catch (error) {
      last = error
    }
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${what}`, { cause: last })
    await delay(POLL_MS)
  }
}
