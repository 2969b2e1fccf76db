-- Shared by all functions of the library. What is local here lives as long as the library in this Redis process.

-- Milliseconds since 1970.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- tostring() and .. turn numbers from 1e14 on into exponents.
local function int(number)
  return string.format('%.0f', number)
end

-- The table that a JSON text holds, or nil for anything else.
local function decode(json)
  if not json then return nil end
  local ok, value = pcall(cjson.decode, json)
  if ok and type(value) == 'table' then return value end
  return nil
end

-- The lease that a JSON text holds, or nil when it does not say whose it is.
local function decodeLease(json)
  local lease = decode(json)
  if not lease or type(lease.brokerId) ~= 'string' then return nil end
  if type(lease.podUid) ~= 'string' or type(lease.bootId) ~= 'string' then return nil end
  return lease
end

-- A digest of a hash, whatever the order of its fields, and its content. Lengths keep two contents apart.
local function fingerprint(key)
  local flat = redis.call('HGETALL', key)
  local pairs = {}
  for i = 1, #flat, 2 do
    pairs[#pairs + 1] = #flat[i] .. ':' .. flat[i] .. #flat[i + 1] .. ':' .. flat[i + 1]
  end
  table.sort(pairs)
  return redis.sha1hex(table.concat(pairs)), flat
end

-- Sessions of a user without a device online end with their retention; a login makes them stay again.
local function expireWhenOffline(sessions, retentionMs)
  for _, json in ipairs(redis.call('HVALS', sessions)) do
    local session = decode(json)
    if session and session.connectState == 1 then return end
  end
  redis.call('PEXPIRE', sessions, retentionMs)
end

local function seqOf(entry)
  return tonumber(string.match(entry[1], '^(%d+)'))
end

local REPLID_VALID_MS = 100
local replid, replidAt

-- The replication id of this primary: another one after each start and each failover, when the data may have been set back.
-- Asked for by INFO, which is not free, a few times a second.
local function currentReplid(time)
  if not replidAt or time < replidAt or time - replidAt >= REPLID_VALID_MS then
    replid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
      or string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
    replidAt = time
  end
  return replid
end

local tags = 0

-- Hexadecimal digits that no other call returns.
local function createTag(key, time, length)
  tags = tags + 1
  return string.sub(redis.sha1hex(currentReplid(time) .. tags .. ':' .. int(time) .. key), 1, length)
end

local MAX_FORKS = 8

-- The epoch that goes on where `epoch` may have been cut, and names where (session/inbox/epoch.ts): <epoch>.<seq>~<tag>. A fork at
-- the same seq is taken back first: nothing that is left came after it.
local function forkEpoch(epoch, seq, tag)
  local base, since = string.match(epoch, '^(.+)%.(%d+)~[^.~]+$')
  if since and tonumber(since) == seq then epoch = base end
  local forked = epoch .. '.' .. int(seq) .. '~' .. tag
  local _, forks = string.gsub(forked, '~', '')
  if forks > MAX_FORKS then forked = string.match(forked, '^[^~]+~(.+)$') end
  return forked
end

local function parseEpoch(epoch)
  local parts = {}
  for part in string.gmatch(epoch, '[^.]+') do
    local since, tag = string.match(part, '^(%d+)~(.+)$')
    parts[#parts + 1] = { tag = tag or part, since = tonumber(since) }
  end
  return parts
end

-- Up to which seq two epochs name the same messages, nil when they have nothing in common: agreedSeq of session/inbox/epoch.ts.
local function agreedSeq(one, other)
  if one == other then return math.huge end
  local a, b = parseEpoch(one), parseEpoch(other)
  for i = #a, 1, -1 do
    for j = #b, 1, -1 do
      if a[i].tag == b[j].tag then
        local afterA, afterB = a[i + 1], b[j + 1]
        return math.min(afterA and afterA.since or math.huge, afterB and afterB.since or math.huge)
      end
    end
  end
  return nil
end

local LOOK_BACK = 128

-- The last seq that was there before the cut. Up to `known` that is sure; what lies behind it was appended by 0.2.0, which notes no
-- replication id: before the cut if it is older than this process, else perhaps after it.
local function lastBeforeCut(inbox, known, seq, time)
  if known >= seq then return seq end
  local uptime = tonumber(string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%d+)')) or math.huge
  -- Both in whole seconds.
  local startedAt = (math.floor(time / 1000) - uptime) * 1000
  for _, entry in ipairs(redis.call('XREVRANGE', inbox, int(seq), int(known + 1), 'COUNT', LOOK_BACK)) do
    if tonumber(entry[2][8]) < startedAt then return seqOf(entry) end
  end
  return known
end

-- epoch, newest seq, oldest retained seq, and when to look for expired entries (0: now). An inbox without meta data gets an epoch of
-- its own; its seq goes on where the stream ends, if there is one. One that another primary, or another life of this one, has
-- written to may have been cut since: it goes on under a fork of its epoch. replidSeq is the seq up to which the replid is known to
-- hold.
local function openInbox(meta, inbox, time)
  local stored = redis.call('HMGET', meta, 'epoch', 'seq', 'first', 'trimAt', 'replid', 'replidSeq')
  local epoch, seq, first, trimAt = stored[1], tonumber(stored[2]), tonumber(stored[3]), tonumber(stored[4])
  local current = currentReplid(time)
  local exists = redis.call('EXISTS', inbox) == 1
  if not (epoch and seq and first) then
    epoch, seq, first, trimAt = createTag(meta, time, 12), 0, 1, nil
    if exists then
      local info = redis.call('XINFO', 'STREAM', inbox)
      for i = 1, #info, 2 do
        if info[i] == 'last-generated-id' then seq = seqOf({ info[i + 1] }) end
      end
      local oldest = redis.call('XRANGE', inbox, '-', '+', 'COUNT', 1)[1]
      first = oldest and seqOf(oldest) or seq + 1
    end
    redis.call('HSET', meta, 'epoch', epoch, 'seq', int(seq), 'first', int(first), 'replid', current, 'replidSeq', int(seq))
  elseif stored[5] ~= current then
    if (stored[5] or FIRST_REPLID) ~= current then
      local cut = lastBeforeCut(inbox, tonumber(stored[6]) or seq, seq, time)
      epoch = forkEpoch(epoch, cut, createTag(meta, time, 8))
    end
    redis.call('HSET', meta, 'epoch', epoch, 'replid', current, 'replidSeq', int(seq))
  end
  if not exists then first, trimAt = seq + 1, 0 end
  return epoch, seq, first, trimAt or 0
end
