-- Shared by all scripts: put in front of each when they are loaded.

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

-- epoch, newest seq, oldest retained seq, and when to look for expired entries. An inbox without meta data gets the
-- fresh epoch; its seq goes on where the stream ends, if there is one.
local function inboxState(meta, inbox, freshEpoch)
  local stored = redis.call('HMGET', meta, 'epoch', 'seq', 'first', 'trimAt')
  local epoch, seq, first, trimAt = stored[1], tonumber(stored[2]), tonumber(stored[3]), tonumber(stored[4])
  local exists = redis.call('EXISTS', inbox) == 1
  if not (epoch and seq and first) then
    epoch, seq, first, trimAt = freshEpoch, 0, 1, nil
    if exists then
      local info = redis.call('XINFO', 'STREAM', inbox)
      for i = 1, #info, 2 do
        if info[i] == 'last-generated-id' then seq = seqOf({ info[i + 1] }) end
      end
      local oldest = redis.call('XRANGE', inbox, '-', '+', 'COUNT', 1)[1]
      first = oldest and seqOf(oldest) or seq + 1
    end
    redis.call('HSET', meta, 'epoch', epoch, 'seq', int(seq), 'first', int(first))
  end
  if not exists then first = seq + 1 end
  return epoch, seq, first, trimAt or 0
end

