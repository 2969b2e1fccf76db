-- So many messages beyond the most that are kept go with each append.
local LENGTH_STEP = 128

-- Whether the message with this seq, which there is a record of, is the one with this tail. What is trimmed cannot be asked any more.
-- Returns when it was sent, too.
local function isAppended(list, start, seq, time, record, tail)
  if record > seq then return false end
  if record < start then return true, time end
  local entry = redis.call('LINDEX', list, record - start)
  if not entry or #entry < TAIL_AT or struct.unpack('>I6', entry) ~= record then return false end
  return isSameMessage(entry, tail), (struct.unpack('>I6', entry, 7))
end

-- Appends a message to a list. Returns seq, time, epoch, and 1 for a duplicate; nil where it is a stream that has to be written to.
local function appendToList(time, primaryNow, seen, meta, list, digest, tail, ARGV)
  local packed = redis.pcall('GET', meta)
  if type(packed) ~= 'string' then
    packed = openMeta(meta, list, streamOf(meta), time, ARGV[5])
    if not packed then return nil end
  end
  local seq, first, base, dueAt, window, windowEnd, windowSeq, formerSeq, primary, epoch = unpackMeta(packed)
  if primary ~= primaryNow then
    epoch, dueAt = forkEpoch(epoch, seq, createTag(meta, time, 8)), 0
  end
  if base > 0 then
    if redis.call('EXISTS', streamOf(meta)) == 0 then
      first, base = math.max(first, base + 1), 0
    elseif windowSeq == base then
      -- In the first window of the list: what came before it has a record of 0.2.0.
      local _, seqBefore, timeBefore, epochBefore = readRecord(meta, tail)
      if seqBefore and seqBefore <= (agreedSeq(epoch, epochBefore) or 0) then
        writeMeta(meta, ARGV[3], seq, first, base, 0, window, windowEnd, windowSeq, formerSeq, primaryNow, epoch)
        return seqBefore, timeBefore, epoch, 1
      end
    end
  end

  local windowMs = tonumber(ARGV[4])
  local opens = time >= windowEnd
  if opens then
    formerSeq = time >= windowEnd + windowMs and seq or windowSeq
    window, windowEnd, windowSeq = (window + 1) % WINDOWS, time + windowMs, seq
  end
  local start = first > base and first or base + 1
  local level = levelOf(seq - windowSeq)
  local record
  if formerSeq < windowSeq then
    record = findRecord(seen, (window - 1) % WINDOWS, levelOf(windowSeq - formerSeq), digest)
  end
  if not record and level > 1 then record = findRecord(seen, window, level - 1, digest) end
  local hash = nameHash(seen, window, level, digest)
  seq = seq + 1
  -- Before anything is written: it fails where a foreign key is in the place of the stream.
  local retention = tonumber(ARGV[2])
  local due = time >= dueAt
  local retained, lookAt = first, dueAt
  if due then retained, lookAt = findRetained(list, streamOf(meta), first, base, seq, time, retention) end
  if not record and redis.call('HSETNX', hash, digest, int(seq)) == 0 then
    record = tonumber(redis.call('HGET', hash, digest))
  end
  if record then
    local same, sentAt = isAppended(list, start, seq - 1, time, record, tail)
    if same then
      if primary ~= primaryNow then
        writeMeta(meta, ARGV[3], seq - 1, first, base, 0, window, windowEnd, windowSeq, formerSeq, primaryNow, epoch)
      end
      return record, sentAt, epoch, 1
    end
    redis.call('HSET', hash, digest, int(seq))
  end
  -- When it is due also one that was evicted within its window, or whose window a retry has opened.
  local windowTtl = int(windowEnd + windowMs - time)
  if opens or level > 1 or due then redis.call('PEXPIRE', hash, windowTtl) end

  local length = redis.pcall('RPUSH', list, packEntry(seq, time, tail))
  if type(length) == 'table' then
    redis.call('HDEL', hash, digest)
    error(length)
  end
  if length ~= seq - start + 1 then
    if length > 1 then
      -- The list is not what its meta data, which were written by another hand, say: begin a new epoch behind it.
      redis.call('RPOP', list)
      redis.call('HDEL', hash, digest)
      redis.call('SET', meta, recoverMeta(meta, list, streamOf(meta), time))
      return appendToList(time, primaryNow, seen, meta, list, digest, tail, ARGV)
    end
    -- What it had has expired, or was evicted.
    retained, lookAt, base, start = seq, time + lateOf(retention), 0, seq
  end
  first, dueAt = retained, lookAt
  if seq - windowSeq == SPREAD_AT then spreadRecords(seen, window, windowTtl) end

  due = due or length == 1
  -- What comes just before it is due keeps its retention, too.
  if due then redis.call('PEXPIRE', list, int(retention + lateOf(retention))) end
  local maxLength = tonumber(ARGV[1])
  -- In steps, where it was lowered.
  if seq - first >= maxLength then first = math.min(seq - maxLength + 1, first + LENGTH_STEP) end
  if first > start then redis.call('LTRIM', list, int(first - start), -1) end
  -- In the first window of the list the stream stands for its records, too.
  if base > 0 and first > base and windowSeq > base then
    redis.call('UNLINK', streamOf(meta))
    base = 0
  end
  if due then
    writeMeta(meta, ARGV[3], seq, first, base, dueAt, window, windowEnd, windowSeq, formerSeq, primaryNow, epoch)
  else
    redis.call('SET', meta, packMeta(seq, first, base, dueAt, window, windowEnd, windowSeq, formerSeq, primaryNow, epoch), 'KEEPTTL')
  end
  return seq, time, epoch, 0
end

local function appendMessage(time, primary, seen, meta, list, digest, tail, ARGV)
  local seq, at, epoch, duplicate = appendToList(time, primary, seen, meta, list, digest, tail, ARGV)
  if seq then return seq, at, epoch, duplicate end
  return appendToStream(time, meta, streamOf(meta), tail, ARGV)
end
