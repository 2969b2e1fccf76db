-- Each append looks at a few entries at most, and only when some may have expired: every append adds but one.
local TRIM_STEP = 16

local function addToStream(key, first, seq, time, from, clientType, messageId, payload)
  return redis.pcall('XADD', key, 'MINID', '~', int(first), int(seq) .. '-0',
    'f', from, 'c', clientType, 'm', messageId, 't', int(time), 'p', payload)
end

-- Appends one message of a call of append.lua: its keys begin after the k-th, its arguments after the a-th.
local function appendMessage(time, k, a, KEYS, ARGV)
  local dedupe, meta, inbox = KEYS[k + 1], KEYS[k + 2], KEYS[k + 3]
  local from, clientType, messageId, payload = ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], ARGV[a + 4]
  local sessions = redis.call('HVALS', KEYS[k + 4])
  local epoch, seq, first, trimAt = openInbox(meta, inbox, time)
  local seqBefore, timeBefore, epochBefore = string.match(redis.call('GET', dedupe) or '', '^(%d+):(%d+):(.+)$')
  -- Under an epoch that this one does not go on from, or beyond the cut between them, the message was lost: it is stored anew.
  if seqBefore and tonumber(seqBefore) <= (agreedSeq(epoch, epochBefore) or 0) then
    return { tonumber(seqBefore), tonumber(timeBefore), epoch, 1, sessions }
  end

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
      first = seqOf(entry) + 1
      if i == TRIM_STEP then trimAt = time end
    end
  end

  local added = addToStream(inbox, first, seq, time, from, clientType, messageId, payload)
  if type(added) == 'table' and string.find(added.err, 'equal or smaller', 1, true) then
    -- The stream is ahead of its meta data, which were written by another hand: begin a new epoch behind it.
    redis.call('DEL', meta)
    epoch, seq, first = openInbox(meta, inbox, time)
    seq, trimAt = seq + 1, time
    added = addToStream(inbox, first, seq, time, from, clientType, messageId, payload)
  end
  if type(added) == 'table' then return added end

  if first == firstBefore and trimAt == trimAtBefore then
    redis.call('HSET', meta, 'seq', int(seq), 'replidSeq', int(seq))
  else
    redis.call('HSET', meta, 'seq', int(seq), 'replidSeq', int(seq), 'first', int(first), 'trimAt', int(trimAt))
  end
  redis.call('SET', dedupe, int(seq) .. ':' .. int(time) .. ':' .. epoch, 'PX', ARGV[4])
  redis.call('PEXPIRE', inbox, ARGV[2])
  redis.call('PEXPIRE', meta, ARGV[3])
  return { seq, time, epoch, 0, sessions }
end
