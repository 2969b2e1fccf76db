-- An inbox in the form of 0.2.0: a stream with entry ids <seq>-0, and its meta data in a hash. Written while gateways of 0.2.0 may
-- stand beside us, and read for as long as there is one.

-- Each append looks at a few entries at most, and only when some may have expired: every append adds but one.
local TRIM_STEP = 16
local LOOK_BACK = 128

local function seqOf(id)
  return tonumber(string.match(id, '^(%d+)'))
end

-- The last seq that was there before the cut. Up to `known` that is sure; what lies behind it was appended by 0.2.0, which notes no
-- replication id: before the cut if it is older than this process, else perhaps after it.
local function lastBeforeCut(inbox, known, seq, time)
  if known >= seq then return seq end
  local uptime = tonumber(string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%d+)')) or math.huge
  -- Both in whole seconds.
  local startedAt = (math.floor(time / 1000) - uptime) * 1000
  for _, entry in ipairs(redis.call('XREVRANGE', inbox, int(seq), int(known + 1), 'COUNT', LOOK_BACK)) do
    if tonumber(entry[2][8]) < startedAt then return seqOf(entry[1]) end
  end
  return known
end

-- The oldest and the newest seq of a stream; nil when there is none.
local function endsOfStream(inbox)
  if redis.call('EXISTS', inbox) == 0 then return nil end
  local info = redis.call('XINFO', 'STREAM', inbox)
  local newest
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then newest = seqOf(info[i + 1]) end
  end
  local oldest = redis.call('XRANGE', inbox, '-', '+', 'COUNT', 1)[1]
  return oldest and seqOf(oldest[1]) or newest + 1, newest
end

-- epoch, newest seq, oldest retained seq, and when to look for expired entries (0: now). An inbox without meta data gets an epoch of
-- its own; its seq goes on where the stream ends, if there is one. One that another primary, or another life of this one, has
-- written to may have been cut since: it goes on under a fork of its epoch. replidSeq is the seq up to which the replid is known to
-- hold.
local function openStream(meta, inbox, time)
  local stored = redis.call('HMGET', meta, 'epoch', 'seq', 'first', 'trimAt', 'replid', 'replidSeq')
  local epoch, seq, first, trimAt = stored[1], tonumber(stored[2]), tonumber(stored[3]), tonumber(stored[4])
  local current = currentReplid(time)
  local exists = redis.call('EXISTS', inbox) == 1
  if not (epoch and seq and first) then
    epoch, seq, first, trimAt = createTag(meta, time, 12), 0, 1, nil
    if exists then first, seq = endsOfStream(inbox) end
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

-- As encodeURIComponent, with which the keys of 0.2.0 were made.
local function encodeId(id)
  return (string.gsub(id, "[^%w%-_.!~*'()]", function(char) return string.format('%%%02X', string.byte(char)) end))
end

-- The key of the record of a message as 0.2.0 notes it, by that of the meta data; then seq, time and epoch of its first append, if there is
-- one.
local function readRecord(meta, tail)
  local _, from, messageId = splitTail(tail)
  local key = string.sub(meta, 1, -11) .. 'dedupe:' .. encodeId(from) .. ':' .. encodeId(messageId)
  local seq, time, epoch = string.match(redis.call('GET', key) or '', '^(%d+):(%d+):(.+)$')
  return key, tonumber(seq), tonumber(time), epoch
end

local function addToStream(inbox, first, seq, time, tail)
  local clientType, from, messageId, payload = splitTail(tail)
  return redis.pcall('XADD', inbox, 'MINID', '~', int(first), int(seq) .. '-0',
    'f', from, 'c', clientType, 'm', messageId, 't', int(time), 'p', payload)
end

-- Appends to a stream. Returns seq, time, epoch, and 1 for a duplicate.
local function appendToStream(time, meta, inbox, tail, ARGV)
  local epoch, seq, first, trimAt = openStream(meta, inbox, time)
  local record, seqBefore, timeBefore, epochBefore = readRecord(meta, tail)
  -- Under an epoch that this one does not go on from, or beyond the cut between them, the message was lost: it is stored anew.
  if seqBefore and seqBefore <= (agreedSeq(epoch, epochBefore) or 0) then return seqBefore, timeBefore, epoch, 1 end

  local firstBefore, trimAtBefore = first, trimAt
  local maxLength, retention = tonumber(ARGV[1]), tonumber(ARGV[2])
  seq = seq + 1
  if seq - first >= maxLength then first = seq - maxLength + 1 end

  if time >= trimAt then
    trimAt = time + retention
    local oldest = first < seq and redis.call('XRANGE', inbox, int(first), '+', 'COUNT', TRIM_STEP) or {}
    for i, entry in ipairs(oldest) do
      local expiresAt = tonumber(entry[2][8]) + retention
      if expiresAt > time then
        trimAt = math.max(expiresAt, time + math.min(60000, retention / 10))
        break
      end
      first = seqOf(entry[1]) + 1
      if i == TRIM_STEP then trimAt = time end
    end
  end

  local added = addToStream(inbox, first, seq, time, tail)
  if type(added) == 'table' and string.find(added.err, 'equal or smaller', 1, true) then
    -- The stream is ahead of its meta data, which were written by another hand: begin a new epoch behind it.
    redis.call('DEL', meta)
    epoch, seq, first = openStream(meta, inbox, time)
    seq, trimAt = seq + 1, time
    added = addToStream(inbox, first, seq, time, tail)
  end
  if type(added) == 'table' then error(added) end

  if first == firstBefore and trimAt == trimAtBefore then
    redis.call('HSET', meta, 'seq', int(seq), 'replidSeq', int(seq))
  else
    redis.call('HSET', meta, 'seq', int(seq), 'replidSeq', int(seq), 'first', int(first), 'trimAt', int(trimAt))
  end
  redis.call('SET', record, int(seq) .. ':' .. int(time) .. ':' .. epoch, 'PX', ARGV[4])
  redis.call('PEXPIRE', inbox, ARGV[2])
  redis.call('PEXPIRE', meta, ARGV[3])
  return seq, time, epoch, 0
end
