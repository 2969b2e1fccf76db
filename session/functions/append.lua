-- KEYS dedupe, meta, inbox, sessions.
-- ARGV from, clientType, messageId, payload, max length, retention, ttl of meta, dedupe window.
-- Returns seq, time, epoch, whether it is a duplicate, the sessions.
local sessions = redis.call('HVALS', KEYS[4])
local time = now()
local epoch, seq, first, trimAt = openInbox(KEYS[2], KEYS[3], time)
local seqBefore, timeBefore, epochBefore =
  string.match(redis.call('GET', KEYS[1]) or '', '^(%d+):(%d+):(.+)$')
-- Under an epoch that this one does not go on from, or beyond the cut between them, the message was lost: it is stored anew.
if seqBefore and tonumber(seqBefore) <= (agreedSeq(epoch, epochBefore) or 0) then
  return { tonumber(seqBefore), tonumber(timeBefore), epoch, 1, sessions }
end

local firstBefore, trimAtBefore = first, trimAt
local maxLength, retention = tonumber(ARGV[5]), tonumber(ARGV[6])
seq = seq + 1
if seq - first >= maxLength then first = seq - maxLength + 1 end

-- Each append looks at a few entries at most, and only when some may have expired: every append adds but one.
local STEP = 16
if time >= trimAt then
  trimAt = time + retention
  local oldest = first < seq and redis.call('XRANGE', KEYS[3], int(first), '+', 'COUNT', STEP) or {}
  for i, entry in ipairs(oldest) do
    local expiresAt = tonumber(entry[2][8]) + retention
    if expiresAt > time then
      trimAt = math.max(expiresAt, time + math.min(60000, retention / 10))
      break
    end
    first = seqOf(entry) + 1
    if i == STEP then trimAt = time end
  end
end

local function add()
  return redis.pcall('XADD', KEYS[3], 'MINID', '~', int(first), int(seq) .. '-0',
    'f', ARGV[1], 'c', ARGV[2], 'm', ARGV[3], 't', int(time), 'p', ARGV[4])
end
local added = add()
if type(added) == 'table' and string.find(added.err, 'equal or smaller', 1, true) then
  -- The stream is ahead of its meta data, which were written by another hand: begin a new epoch behind it.
  redis.call('DEL', KEYS[2])
  epoch, seq, first = openInbox(KEYS[2], KEYS[3], time)
  seq, trimAt = seq + 1, time
  added = add()
end
if type(added) == 'table' then return added end

if first == firstBefore and trimAt == trimAtBefore then
  redis.call('HSET', KEYS[2], 'seq', int(seq), 'replidSeq', int(seq))
else
  redis.call('HSET', KEYS[2], 'seq', int(seq), 'replidSeq', int(seq), 'first', int(first), 'trimAt', int(trimAt))
end
redis.call('SET', KEYS[1], int(seq) .. ':' .. int(time) .. ':' .. epoch, 'PX', ARGV[8])
redis.call('PEXPIRE', KEYS[3], ARGV[6])
redis.call('PEXPIRE', KEYS[2], ARGV[7])
return { seq, time, epoch, 0, sessions }
