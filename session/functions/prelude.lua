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

-- As much of it as the meta data of a list note.
local function currentPrimary(time)
  return string.sub(currentReplid(time) .. '------------', 1, 12)
end

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

-- The brokers of the sessions in a user's hash that are online, as <brokerId>/<bootId>, each once, with a space between. No JSON is read on the way of a message: within its
-- strings each quote has a backslash before it, so that what looks like a field is one.
local function onlineBrokers(sessions)
  local brokers
  for _, json in ipairs(redis.call('HVALS', sessions)) do
    if string.find(json, '"connectState":1', 1, true) then
      local broker = (string.match(json, '"brokerId":"([^"]*)"') or '') .. '/' .. (string.match(json, '"incarnation":"[^"]*/([^"/]*)"') or '')
      if not brokers then brokers = broker
      elseif not string.find(' ' .. brokers .. ' ', ' ' .. broker .. ' ', 1, true) then brokers = brokers .. ' ' .. broker end
    end
  end
  return brokers or ''
end
