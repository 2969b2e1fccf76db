import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Condition } from '../api/imcluster.ts'
import { buildTransitionEvents } from './transition-events.ts'

function build(type: Condition['type'], status: Condition['status'], reason: string, message = reason): Condition {
  return { type, status, reason, message, observedGeneration: 1, lastTransitionTime: '2026-01-01T00:00:00Z' }
}

const told = (former: readonly Condition[], conditions: readonly Condition[]) =>
  buildTransitionEvents(former, conditions).map(({ type, reason, note }) => `${type} ${reason}: ${note}`)

const idle = [
  build('Ready', 'True', 'GatewaysReady'),
  build('Progressing', 'False', 'Complete'),
  build('Draining', 'False', 'NoneDraining'),
  build('Degraded', 'False', 'AsExpected'),
  build('Durable', 'True', 'RedisPersistent'),
]

test('a new cluster is told of when it is begun, and when it is ready', () => {
  const creating = [
    build('Ready', 'False', 'GatewaysNotReady'),
    build('Progressing', 'True', 'Creating', 'waiting'),
    build('Degraded', 'False', 'AsExpected'),
  ]
  assert.deepEqual(told([], creating), ['Normal Creating: waiting'])
  const starting = creating.with(1, build('Progressing', 'True', 'Starting'))
  assert.deepEqual(told(creating, starting), [])
  assert.deepEqual(told([], starting), ['Normal Creating: Starting'], 'however far it has come by the first look')
  assert.deepEqual(told(starting, idle), ['Normal Complete: Complete', 'Normal GatewaysReady: GatewaysReady'])
})

test('what a cluster goes through is told, each step once', () => {
  const scaling = idle.with(1, build('Progressing', 'True', 'ScalingUp', '2 pods, 4 are wanted'))
  assert.deepEqual(told(idle, scaling), ['Normal ScalingUp: 2 pods, 4 are wanted'])
  const further = idle.with(1, build('Progressing', 'True', 'ScalingUp', '3 pods, 4 are wanted'))
  assert.deepEqual(told(scaling, further), [], 'another message alone is no news')
  assert.deepEqual(told(further, idle), ['Normal Complete: Complete'])
})

test('what is wrong is a warning, and its end is told', () => {
  const broken = idle.with(3, build('Degraded', 'True', 'RedisUnavailable', 'Redis does not answer'))
  const worse = idle.with(3, build('Degraded', 'True', 'CrashLoop', 'pod im-0: it ends'))
  assert.deepEqual(told(idle, broken), ['Warning RedisUnavailable: Redis does not answer'])
  assert.deepEqual(told(broken, worse), ['Warning CrashLoop: pod im-0: it ends'])
  assert.deepEqual(told(worse, idle), ['Normal Recovered: it is over: pod im-0: it ends'])
})

test('a Redis that no longer keeps what it takes is told, and one that never did is not', () => {
  const forgets = idle.with(4, build('Durable', 'False', 'RedisKeepsNothing'))
  assert.deepEqual(told(idle, forgets), ['Warning RedisKeepsNothing: RedisKeepsNothing'])
  assert.deepEqual(told(forgets, idle), ['Normal RedisPersistent: RedisPersistent'])
  const unknown = idle.with(4, build('Durable', 'Unknown', 'NotKnown'))
  assert.deepEqual([...told(unknown, forgets), ...told(unknown, idle)], [])
})

test('nothing new is told of a cluster at rest', () => {
  assert.deepEqual(told(idle, idle), [])
  const drains = idle.with(2, build('Draining', 'True', 'GatewaysDraining'))
  assert.deepEqual(told(idle, drains), [], 'the scale-down that it is part of is told')
})
